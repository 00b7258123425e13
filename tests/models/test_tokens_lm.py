"""Pictures in the vocabulary of real language models, built small and untrained."""

import copy
import re
from collections.abc import Callable
from functools import lru_cache

import pytest
import torch
import torch.nn.functional as F

import smalti
from smalti.errors import OptionError
from smalti.tokens import ImageVocabulary, flatten, from_pretrained, graft

from conftest import ROOT, make_picture

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

LEVELS = (5, 4, 3)  # 60 codes
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
}
ENDS = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


@lru_cache
def trained_bpe() -> str:
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=290,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(["draw a cat, please", "this picture shows a cat on the mat"], trainer)
    return bpe.to_str()


def make_tokenizer() -> "transformers.PreTrainedTokenizerFast":
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer.from_str(trained_bpe()),
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
        padding_side="left",
        chat_template=TEMPLATE,
    )


def llama(text: int, **changed) -> "transformers.PreTrainedModel":
    config = transformers.LlamaConfig(vocab_size=text, **SIZES, **ENDS, **changed)
    return transformers.LlamaForCausalLM(config)


def tied_llama(text: int) -> "transformers.PreTrainedModel":
    return llama(text, tie_word_embeddings=True)


def qwen2(text: int) -> "transformers.PreTrainedModel":
    """Has more rows than its tokenizer has ids, as the published ones do."""
    config = transformers.Qwen2Config(
        vocab_size=text + 11, tie_word_embeddings=True, **SIZES, **ENDS
    )
    return transformers.Qwen2ForCausalLM(config)


def gemma(text: int) -> "transformers.PreTrainedModel":
    """Multiplies its embeddings by the root of the width."""
    config = transformers.GemmaConfig(vocab_size=text, head_dim=16, **SIZES, **ENDS)
    return transformers.GemmaForCausalLM(config)


def gpt2(text: int) -> "transformers.PreTrainedModel":
    config = transformers.GPT2Config(
        vocab_size=text, n_embd=32, n_layer=2, n_head=2, n_positions=128, **ENDS
    )
    return transformers.GPT2LMHeadModel(config)


def phi(text: int) -> "transformers.PreTrainedModel":
    """Has a bias in its head."""
    config = transformers.PhiConfig(vocab_size=text, **{**SIZES, "num_key_value_heads": 2}, **ENDS)
    return transformers.PhiForCausalLM(config)


MODELS = [llama, tied_llama, qwen2, gemma, gpt2, phi]
Make = Callable[[int], "transformers.PreTrainedModel"]


def grafted(make: Make = llama, **settings):
    """A grafted model in evaluation mode, its tokenizer and vocabulary."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    model = make(len(tokenizer)).eval()
    vocabulary = ImageVocabulary.of(tokenizer, LEVELS, **settings)
    assert graft(vocabulary, model, tokenizer) is model
    return model, tokenizer, vocabulary


def mixed_ids(tokenizer, vocabulary: ImageVocabulary) -> torch.Tensor:
    """Words, then a picture of 3 x 4 codes, then words, as a batch of one."""
    generator = torch.Generator().manual_seed(1)
    picture = vocabulary.sequence(torch.randint(0, 60, (3, 4), generator=generator))
    words = torch.tensor(tokenizer("draw a cat").input_ids)
    return torch.cat([words, picture, words]).unsqueeze(0)


def enable_checkpointing(model: "transformers.PreTrainedModel") -> None:
    """By the name of transformers 6, or of the versions before."""
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable()
    else:
        model.gradient_checkpointing_enable()


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Up to the rounding that another alignment of the same numbers in memory makes."""
    return torch.allclose(a, b, rtol=0, atol=1e-5)


# The text stays.


@pytest.mark.parametrize("make", MODELS)
def test_text_logits_are_those_of_the_model_before_to_the_last_bit(make):
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    text_size = len(tokenizer)
    model = make(text_size).eval()
    ids = tokenizer("this picture shows a cat", return_tensors="pt").input_ids
    before = model(ids).logits[..., :text_size]
    vocabulary = ImageVocabulary.of(tokenizer, LEVELS)
    graft(vocabulary, model, tokenizer)
    after = model(ids).logits
    assert torch.equal(after[..., :text_size], before)
    assert after.shape[-1] == vocabulary.total == model.config.vocab_size == len(tokenizer)


@pytest.mark.parametrize("make", [llama, gpt2])
def test_text_gradients_are_those_of_the_model_before(make):
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    text_size = len(tokenizer)
    model = make(text_size).eval()
    ids = tokenizer("this picture shows a cat", return_tensors="pt").input_ids

    def gradients() -> dict[str, torch.Tensor]:
        model.zero_grad()
        logits = model(ids).logits[0, :-1, :text_size]
        F.cross_entropy(logits, ids[0, 1:]).backward()
        return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    before = gradients()
    graft(ImageVocabulary.of(tokenizer, LEVELS), model)
    after = gradients()
    assert all(close(after[name], gradient) for name, gradient in before.items())
    images = [after[name] for name in after.keys() - before.keys()]
    assert images
    assert not any(gradient.any() for gradient in images)


def test_the_models_own_loss_of_text_grows_by_the_mass_of_the_codes_only():
    model, tokenizer, vocabulary = grafted()
    ids = tokenizer("this picture shows a cat", return_tensors="pt").input_ids
    logits = model(ids).logits[0, :-1]
    text = F.cross_entropy(logits[:, : vocabulary.text_size], ids[0, 1:])
    mass = logits.softmax(-1)[:, : vocabulary.text_size].sum(-1)
    assert model(ids, labels=ids).loss.item() == pytest.approx((text - mass.log().mean()).item())


# The tokenizer.


def test_the_tokenizer_never_splits_a_code_and_writes_it_readably(tmp_path):
    _, tokenizer, vocabulary = grafted()
    ids = mixed_ids(tokenizer, vocabulary)[0]
    text = tokenizer.decode(ids)
    assert text.startswith("draw a cat<img_start><img_")
    assert tokenizer(text).input_ids == ids.tolist()
    assert tokenizer.decode(ids, skip_special_tokens=True) == "draw a catdraw a cat"
    for name, code in (("<img_1>", 1), ("<img_12>", 12), ("<img_59>", 59)):
        assert tokenizer(f"a{name} b").input_ids[1] == vocabulary.text_size + code
    assert len(tokenizer("<img_60>").input_ids) > 1  # no such code: text like any other
    tokenizer.save_pretrained(tmp_path)
    again = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert again(text).input_ids == ids.tolist()
    assert ImageVocabulary.of(again, LEVELS) == vocabulary  # extended already


def test_chat_templates_keep_working():
    _, tokenizer, vocabulary = grafted()
    picture = vocabulary.sequence(torch.tensor([[1, 2], [3, 59]]))
    messages = [{"role": "user", "content": f"this is {vocabulary.text(picture)} a cat"}]
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
    found = vocabulary.picture(ids)
    assert found.problems == ()
    assert found.indices.tolist() == [[1, 2], [3, 59]]
    assert tokenizer.decode(ids).endswith("a cat</s>assistant: ")


def test_a_tokenizer_that_does_not_fit_is_refused():
    tokenizer = make_tokenizer()
    with pytest.raises(OptionError, match=r"has \d+ ids, the vocabulary counts 100 of text"):
        ImageVocabulary(LEVELS, 100).extend(tokenizer)
    tokenizer.add_tokens(["<img_7>"])
    with pytest.raises(OptionError, match="has a token <img_7> of its own"):
        ImageVocabulary.of(tokenizer, LEVELS).extend(tokenizer)


# Files.


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("form", ["mlp", "rows"])
def test_a_saved_model_is_the_same_when_loaded(make, form, tmp_path):
    model, tokenizer, vocabulary = grafted(make, form=form, features=16)
    ids = mixed_ids(tokenizer, vocabulary)
    expected = model(ids).logits
    model.save_pretrained(tmp_path)
    loaded = from_pretrained(tmp_path)
    state = model.state_dict()
    assert loaded.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in loaded.state_dict().items())
    assert type(loaded) is type(model)
    assert close(loaded(ids).logits, expected)
    assert loaded.config.vocab_size == vocabulary.total
    assert ImageVocabulary.of_model(loaded) == vocabulary


def test_a_saved_model_is_never_half_loaded(tmp_path):
    """transformers alone, knowing nothing of pictures, does not fill in random rows."""
    model, _, _ = grafted()
    model.save_pretrained(tmp_path)
    with pytest.raises(RuntimeError, match="mismatch"):
        transformers.AutoModelForCausalLM.from_pretrained(tmp_path)


@pytest.mark.parametrize("make", MODELS)
def test_a_flat_model_is_an_ordinary_one(make, tmp_path):
    model, tokenizer, vocabulary = grafted(make)
    ids = mixed_ids(tokenizer, vocabulary)
    expected = model(ids).logits
    tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert flatten(vocabulary, model) is model
    assert type(model).__module__.startswith("transformers.models")
    assert close(model(ids).logits, expected)
    assert tied == (model.get_input_embeddings().weight is model.get_output_embeddings().weight)
    model.save_pretrained(tmp_path)
    for load in (transformers.AutoModelForCausalLM.from_pretrained, from_pretrained):
        loaded = load(tmp_path)
        assert close(loaded(ids).logits, expected)
        assert ImageVocabulary.of_model(loaded).levels == LEVELS
    with pytest.raises(OptionError, match="not grafted, or flat already"):
        flatten(vocabulary, model)


def test_a_model_without_pictures_is_refused(tmp_path):
    llama(300).save_pretrained(tmp_path)
    with pytest.raises(OptionError, match="has no image vocabulary"):
        from_pretrained(tmp_path)
    with pytest.raises(OptionError, match="has no image vocabulary"):
        ImageVocabulary.of_model(llama(300))


# Training.


@pytest.mark.parametrize("make", [llama, gpt2])
def test_training_learns_a_picture_with_checkpointing_in_bfloat16(make):
    model, tokenizer, vocabulary = grafted(make)
    model.train()
    enable_checkpointing(model)
    ids = mixed_ids(tokenizer, vocabulary)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_checkpointing_does_not_change_the_gradients():
    model, tokenizer, vocabulary = grafted()
    ids = mixed_ids(tokenizer, vocabulary)
    model.train()
    model(ids, labels=ids).loss.backward()
    plain = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    enable_checkpointing(model)
    model(ids, labels=ids).loss.backward()
    assert all(close(p.grad, plain[name]) for name, p in model.named_parameters())


def test_bfloat16_weights_are_near_the_float32_ones():
    model, tokenizer, vocabulary = grafted()
    ids = mixed_ids(tokenizer, vocabulary)
    expected = model(ids).logits
    found = model.to(torch.bfloat16)(ids).logits
    assert found.dtype == torch.bfloat16
    assert (found.float() - expected).abs().max() < 0.02 * expected.abs().max()


def test_the_pictures_alone_can_be_trained():
    model, tokenizer, vocabulary = grafted(tied_llama)
    model.requires_grad_(False)
    images = model.get_input_embeddings().images.requires_grad_(True)
    ids = mixed_ids(tokenizer, vocabulary)
    model(ids, labels=ids).loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in images.parameters())
    assert all(parameter.grad.any() for parameter in images.parameters())
    assert {name for name, p in model.named_parameters() if p.grad is not None} == {
        f"model.embed_tokens.images.{name}" for name, _ in images.named_parameters()
    }


def test_gradients_are_those_of_a_plain_table():
    """With free rows, training is that of an ordinary model whose matrices were resized."""
    model, tokenizer, vocabulary = grafted(tied_llama, form="rows")
    ids = mixed_ids(tokenizer, vocabulary)
    flat = flatten(vocabulary, copy.deepcopy(model))
    model(ids, labels=ids).loss.backward()
    flat(ids, labels=ids).loss.backward()
    embedding = model.get_input_embeddings()
    table = flat.get_input_embeddings().weight.grad
    assert close(table[: vocabulary.text_size], embedding.weight.grad)
    assert close(table[vocabulary.text_size : vocabulary.start], embedding.images.free.grad)
    assert close(table[vocabulary.start :], embedding.images.controls.grad)


def test_a_copy_is_independent():
    model, tokenizer, vocabulary = grafted()
    twin = copy.deepcopy(model)
    ids = mixed_ids(tokenizer, vocabulary)
    expected = model(ids).logits
    with torch.no_grad():
        twin.get_input_embeddings().images.controls.add_(1)
    assert torch.equal(model(ids).logits, expected)
    changed = twin(ids).logits[..., vocabulary.start :]
    assert not close(changed, expected[..., vocabulary.start :])  # its head has the copy's rows


# What cannot be grafted.


def test_what_cannot_be_grafted_is_refused():
    model, tokenizer, vocabulary = grafted()
    with pytest.raises(OptionError, match="has an image vocabulary already"):
        graft(vocabulary, model)
    with pytest.raises(OptionError, match=r"has 20 rows for \d+ ids of text"):
        graft(vocabulary, llama(20))
    with pytest.raises(OptionError, match="text_size 0; a model with text"):
        graft(ImageVocabulary(LEVELS, 0), llama(300))
    with pytest.raises(OptionError, match="LlamaModel is no causal language model"):
        graft(vocabulary, llama(300).model)
    with pytest.raises(OptionError, match="form 'cubes'"):
        graft(ImageVocabulary.of(tokenizer, LEVELS, form="cubes"), llama(300))
    with pytest.raises(OptionError, match="resize before grafting"):
        model.resize_token_embeddings(1000)
    model.resize_token_embeddings(len(tokenizer))  # the usual line of a training script


# Generation.


@pytest.mark.parametrize("make", [llama, gpt2, qwen2])
def test_an_untrained_model_draws_a_well_formed_picture(make):
    model, tokenizer, vocabulary = grafted(make)
    prompt = tokenizer(["draw a cat, please", "cat"], return_tensors="pt", padding=True)
    torch.manual_seed(0)
    ids = model.generate(
        **prompt,
        do_sample=True,
        logits_processor=[vocabulary.processor(3, 5)],
        eos_token_id=vocabulary.end,
        max_new_tokens=100,
    )
    length = prompt.input_ids.shape[1]
    assert ids.shape[1] == length + vocabulary.length(3, 5)  # it has stopped by itself
    for sequence in ids:
        assert torch.equal(sequence[length:], vocabulary.sequence(vocabulary.picture(sequence)[0]))
    assert not torch.equal(ids[0, length:], ids[1, length:])


def test_beams_and_a_stop_of_the_texts_own():
    model, tokenizer, vocabulary = grafted()
    prompt = tokenizer("draw", return_tensors="pt")
    processor = vocabulary.processor(2, 2, stop=tokenizer.eos_token_id)
    ids = model.generate(
        **prompt, num_beams=3, do_sample=False, logits_processor=[processor], max_new_tokens=100
    )
    assert vocabulary.picture(ids[0]).problems == ()
    assert ids[0, -2:].tolist() == [vocabulary.end, tokenizer.eos_token_id]


def test_a_second_picture_after_a_first_in_the_prompt():
    model, tokenizer, vocabulary = grafted()
    first = vocabulary.sequence(torch.tensor([[1]]))
    prompt = torch.cat([first, torch.tensor(tokenizer("and a cat").input_ids)]).unsqueeze(0)
    ids = model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        logits_processor=[vocabulary.processor(2, 3)],
        eos_token_id=vocabulary.end,
        max_new_tokens=vocabulary.length(2, 3),
    )
    found = vocabulary.pictures(ids[0])
    assert [tuple(p.indices.shape) for p in found] == [(1, 1), (2, 3)]
    assert not found[0].problems + found[1].problems


def test_text_stays_free_until_the_model_begins_a_picture():
    _, tokenizer, vocabulary = grafted()
    processor = vocabulary.processor(1, 2, must_start=False)
    words = tokenizer("a cat").input_ids
    scores = torch.randn(1, vocabulary.total)
    picture = vocabulary.sequence(torch.tensor([[4, 5]])).tolist()
    allowed = [
        processor(torch.tensor([words + picture[:written]]), scores).isfinite().sum().item()
        for written in range(len(picture) + 1)
    ]
    assert allowed == [vocabulary.total, 60, 60, 1, 1, vocabulary.total]
    with pytest.raises(OptionError, match="0 x 2 codes"):
        vocabulary.processor(0, 2)


# The document.


def test_the_code_of_the_document_runs(tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    text = (ROOT / "docs" / "TOKENS.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert blocks
    monkeypatch.chdir(tmp_path)
    tokenizer = make_tokenizer()
    llama(len(tokenizer)).save_pretrained("my-model")
    tokenizer.save_pretrained("my-model")
    (tmp_path / "pictures").mkdir()
    for number in range(3):
        smalti.save(make_picture(3, 12, 12, seed=number), tmp_path / "pictures" / f"{number}.png")
        (tmp_path / "pictures" / f"{number}.txt").write_text("a cat on the mat")
    smalti.save(make_picture(3, 12, 12), tmp_path / "a.png")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    names: dict = {}
    for block in blocks:
        exec(compile(block, "docs/TOKENS.md", "exec"), names)
    assert (tmp_path / "drawn.png").is_file()


def test_a_prompt_that_ends_with_a_picture_draws_another():
    vocabulary = ImageVocabulary((2, 2), 5)
    ids = [0, *vocabulary.sequence(torch.tensor([[0, 1]])).tolist()]
    processor, scores = vocabulary.processor(1, 2), torch.zeros(1, vocabulary.total)
    drawn = list(ids)
    for _ in range(vocabulary.length(1, 2)):
        drawn.append(int(processor(torch.tensor([drawn]), scores)[0].argmax()))
    assert drawn[len(ids)] == vocabulary.start
    assert drawn[-1] == vocabulary.end
    after = processor(torch.tensor([drawn]), scores)[0]
    assert after.isfinite().nonzero().flatten().tolist() == [vocabulary.end]


@pytest.mark.parametrize("make", [llama, tied_llama, gemma])
def test_grafted_models_are_pickled_and_copied(make, tmp_path):
    model, tokenizer, vocabulary = grafted(make)
    ids = mixed_ids(tokenizer, vocabulary)
    with torch.no_grad():
        expected = model(ids).logits
        torch.save(model, tmp_path / "model.pt")
        loaded = torch.load(tmp_path / "model.pt", weights_only=False)
        for other in (loaded, copy.deepcopy(model)):
            assert type(other) is type(model)
            assert torch.equal(other(ids).logits, expected)
            rows = other.get_input_embeddings().images
            assert other.get_output_embeddings().images[0] is rows


def test_where_files_come_from_is_asked_of_the_config_too(tmp_path):
    model, _, _ = grafted()
    model.save_pretrained(tmp_path / "inner")
    loaded = smalti.tokens.from_pretrained(tmp_path, subfolder="inner", local_files_only=True)
    assert loaded.config.vocab_size == model.config.vocab_size


def test_resizing_to_another_multiple_is_refused_and_to_the_same_size_is_nothing():
    model, _, _ = grafted()
    total = model.config.vocab_size
    assert model.resize_token_embeddings(total, mean_resizing=False) is not None
    with pytest.raises(OptionError, match="before grafting"):
        model.resize_token_embeddings(total, pad_to_multiple_of=total - 1)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_adapters_of_all_linear_leave_image_rows_alone():
    """PEFT puts them on every `nn.Linear` but the head: merging would move the pictures' logits."""
    model, tokenizer, vocabulary = grafted()
    images = model.get_input_embeddings().images
    assert not any(isinstance(part, torch.nn.Linear) for part in images.modules())
    peft = pytest.importorskip("peft")
    adapted = peft.get_peft_model(model, peft.LoraConfig(target_modules="all-linear"))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    ids = mixed_ids(tokenizer, vocabulary)
    with torch.no_grad():
        before = adapted(ids).logits
        after = adapted.merge_and_unload()(ids).logits
    assert (after - before).abs().max() < 1e-3


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:Model has `tie:UserWarning")
@pytest.mark.parametrize("saved", ["images", "embed_tokens"])
@pytest.mark.parametrize("make", [llama, gemma])
def test_peft_trains_the_rows_that_the_head_reads(make, saved):
    """`modules_to_save` copies a module: logits follow the copy, and merging changes nothing."""
    peft = pytest.importorskip("peft")
    model, tokenizer, vocabulary = grafted(make)
    ids = mixed_ids(tokenizer, vocabulary)
    settings = peft.LoraConfig(target_modules=["q_proj"], modules_to_save=[saved])
    adapted = peft.get_peft_model(model, settings)
    adapted(ids).logits[..., vocabulary.text_size :].square().mean().backward()
    controls = {n: p for n, p in adapted.named_parameters() if n.endswith("controls")}
    trained = [p for n, p in controls.items() if "modules_to_save" in n]
    assert trained[0].grad.abs().max() > 0
    with torch.no_grad():
        before = adapted(ids).logits
        trained[0].add_(1)
        moved = adapted(ids).logits
        assert (moved - before)[..., vocabulary.start :].abs().max() > 0.1
        assert (adapted.merge_and_unload()(ids).logits - moved).abs().max() < 1e-3
