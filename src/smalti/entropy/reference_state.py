"""What the plane coder in plain Python has learnt: sizes, tables, and how they begin."""

from typing import NamedTuple

import numpy as np

from smalti.entropy.planes import CONTEXTS, log_slots
from smalti.entropy.reference_range import new_registers
from smalti.entropy.tables import LIMIT, tables

INPUTS = CONTEXTS + 3  # and three logistic distributions
FEATURES = 14  # neighbours in the linear prediction
MIXERS = 17 + 16 * 17 + 8  # by depth; by activity and depth; for flags, by what else is equal
KNOTS = 37  # of the refinement, 160 apart in the logistic domain
REFINEMENTS = 16 * 17 + 8


class State(NamedTuple):
    """All that the coder has learnt, and scratch space; int64 but for the slots."""

    coder: np.ndarray  # (7,) registers
    slots: np.ndarray  # (CONTEXTS, 2**k) int32: 22-bit probability << 8 | count
    weights: np.ndarray  # (MIXERS, INPUTS), 65536 is 1
    updates: np.ndarray  # (MIXERS,) how often each was corrected
    refinement: np.ndarray  # (REFINEMENTS, KNOTS) 22-bit probabilities
    runs: np.ndarray  # (264,) 22-bit probability << 8 | count
    context: np.ndarray  # (CONTEXTS,) hashes of the symbol at hand
    # (CONTEXTS,) slots of the decision at hand
    index: np.ndarray  # type: ignore[assignment]  # a field, in place of the tuple's method
    inputs: np.ndarray  # (INPUTS,) logistic domain, 256 is 1


class Predictor(NamedTuple):
    """Linear prediction of one plane; int64."""

    covariance: np.ndarray  # (FEATURES, FEATURES)
    correlation: np.ndarray  # (FEATURES,) with the value itself
    coefficients: np.ndarray  # (FEATURES,), 65536 is 1
    features: np.ndarray  # (FEATURES,)
    error: np.ndarray  # (18,) mean absolute errors: by activity, overall, of the fixed prediction
    seen: np.ndarray  # (18,)


def new_state(n_values: int) -> State:
    size = 1 << log_slots(n_values)
    weights = np.full((MIXERS, INPUTS), 4000, np.int64)
    weights[:, CONTEXTS:] = 12000
    knots = np.clip(np.arange(KNOTS) * 160 - 2880, -LIMIT, LIMIT)
    refinement = np.tile(tables().squash[knots + LIMIT] << 6, (REFINEMENTS, 1))
    return State(
        coder=new_registers(),
        slots=np.full((CONTEXTS, size), 1 << 29, np.int32),
        weights=weights,
        updates=np.zeros(MIXERS, np.int64),
        refinement=refinement,
        runs=np.full(264, 7 << 27, np.int64),
        context=np.zeros(CONTEXTS, np.int64),
        index=np.zeros(CONTEXTS, np.int64),
        inputs=np.zeros(INPUTS, np.int64),
    )


def new_predictor() -> Predictor:
    n = FEATURES
    error = np.zeros(18, np.int64)
    error[16:] = 32768
    return Predictor(
        covariance=np.zeros((n, n), np.int64),
        correlation=np.zeros(n, np.int64),
        coefficients=np.zeros(n, np.int64),
        features=np.zeros(n, np.int64),
        error=error,
        seen=np.zeros(18, np.int64),
    )
