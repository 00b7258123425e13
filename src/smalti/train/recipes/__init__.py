"""Recipes: what makes each set of weights, with command, cost and result; a file a family.

Costs are CPU seconds of one thread of a machine with AVX-512 and bfloat16 products.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from smalti.errors import OptionError, unknown
from smalti.extras import need
from smalti.train.recipes.coarse import COARSE_RECIPES
from smalti.train.recipes.fields import FIELD_RECIPES, FieldRecipe
from smalti.train.recipes.fsq import FSQ_RECIPES
from smalti.train.recipes.language import LM_RECIPES, LmRecipe
from smalti.train.recipes.patch import PATCH_RECIPES, PATCH_VARIANTS
from smalti.train.recipes.recipe import Recipe, changed
from smalti.train.recipes.rgba import RGBA_RECIPES

RECIPES: dict[str, Callable[[], Recipe]] = {
    **FSQ_RECIPES,
    **RGBA_RECIPES,
    **PATCH_RECIPES,
    **COARSE_RECIPES,
    **PATCH_VARIANTS,
}


def recipe_of(name: str, settings: Sequence[str] = ()) -> Recipe | FieldRecipe | LmRecipe:
    """A recipe by its name, with fields set by `field=value` strings.

    Raises:
        OptionError: no such recipe or field, or a value that it cannot have.
    """
    known: dict[str, Callable[[], Any]] = {**RECIPES, **FIELD_RECIPES, **LM_RECIPES}
    if name not in known:
        raise OptionError(unknown("recipe", name, known))
    return changed(known[name](), settings)


def runner_of(recipe: Recipe | FieldRecipe | LmRecipe) -> Callable[..., Path]:
    """What trains by a recipe: `train.run.run_recipe`, or another function of its arguments.

    Raises:
        MissingExtraError: something that it needs is not installed.
    """
    module = need(recipe.runner, extra=recipe.extra, what=f"the recipe {recipe.name}")
    return module.run_recipe
