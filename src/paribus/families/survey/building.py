"""Model types of `transformers`, built from their default configs without weights: nothing is downloaded, no foreign code run."""

from __future__ import annotations

import contextlib
import importlib
import os
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from paribus.errors import RequestError

#: A kind of model, the mapping that lists its types, the class that builds it.
_KINDS = {
    "causal": ("MODEL_FOR_CAUSAL_LM_MAPPING_NAMES", "AutoModelForCausalLM"),
    "encoder": ("MODEL_FOR_MASKED_LM_MAPPING_NAMES", "AutoModelForMaskedLM"),
    "encoder-decoder": ("MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES", "AutoModelForSeq2SeqLM"),
}
KINDS = tuple(_KINDS)
#: Enough for a pattern of dense layers, then experts, then another mixer; few enough to be quick.
_LAYERS = 8
_LENGTH = 8


def version() -> str | None:
    """The version of `transformers`, None where it is not installed."""
    import importlib.metadata

    try:
        return importlib.metadata.version("transformers")
    except importlib.metadata.PackageNotFoundError:
        return None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """`transformers` without network, warnings and bars. Set before its first import, or it looks online."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_PROGRESS_BARS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        import huggingface_hub.constants
        import transformers

        offline, huggingface_hub.constants.HF_HUB_OFFLINE = huggingface_hub.constants.HF_HUB_OFFLINE, True
        verbosity = transformers.logging.get_verbosity()
        transformers.logging.set_verbosity(transformers.logging.CRITICAL)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            transformers.logging.set_verbosity(verbosity)
            huggingface_hub.constants.HF_HUB_OFFLINE = offline
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def model_types() -> list[tuple[str, str]]:
    """Kind and name of every type; a name may be of several kinds."""
    from transformers.models.auto import modeling_auto

    return [
        (kind, name)
        for kind, (mapping, _) in _KINDS.items()
        for name in sorted(getattr(modeling_auto, mapping))
    ]


def default_config(kind: str, model_type: str, **changes: Any) -> Any:
    """The config that the type has without a checkpoint. Raises whatever the config's own class raises."""
    from transformers import CONFIG_MAPPING
    from transformers.models.auto import modeling_auto

    config = CONFIG_MAPPING[model_type](**changes)
    encoders = getattr(modeling_auto, _KINDS["encoder"][0])
    for each in _configs(config):
        if kind == "causal" and model_type in encoders and getattr(each, "is_decoder", None) is False:
            each.is_decoder = True
    return config


def attempts(kind: str, model_type: str) -> Iterator[tuple[Any, frozenset[str]]]:
    """Configs to build the type from, the plainest first, each with the keys that were filled in.

    Few layers, or all where the type cannot do with few; what it leaves to the checkpoint filled in; and where it
    has a config of several models, that of its decoder alone.
    """
    full = default_config(kind, model_type)
    layers = getattr(full, "num_hidden_layers", None)
    few = {"num_hidden_layers": _LAYERS} if isinstance(layers, int) and layers > _LAYERS else {}
    for changes in [few, {}] if few else [{}]:
        for fill in (False, True):
            with contextlib.suppress(Exception):  # the classes check their configs, each in its own way
                config = default_config(kind, model_type, **changes)
                filled = _fill(config) if fill else frozenset()
                if filled or not fill:
                    yield config, filled
    alone = full.get_text_config(decoder=True)
    if alone is not full:
        yield alone, _fill(alone)


def build(kind: str, model_type: str, config: Any) -> nn.Module:
    """A model of this config without weights."""
    import transformers
    from transformers import CONFIG_MAPPING

    auto = getattr(transformers, _KINDS[kind][1])
    known = auto._model_mapping
    made_for = known[type(config) if type(config) in known else CONFIG_MAPPING[model_type]]
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)  # the products over experts take nothing else
    try:
        with torch.device("meta"):
            model = (made_for[0] if isinstance(made_for, tuple) else made_for)._from_config(config)
    finally:
        torch.set_default_dtype(before)
    model.eval()
    for module in model.modules():
        inner: Any = getattr(module, "config", None)
        if hasattr(inner, "use_cache"):
            inner.use_cache = False
    return model


def inputs(kind: str, config: Any) -> Mapping[str, Any]:
    """What such a model is called with: one row of tokens, or one for each codebook."""
    rows = getattr(config.get_text_config(decoder=True), "num_codebooks", None) or 1
    ids = torch.zeros(rows, _LENGTH, dtype=torch.long, device="meta")
    given: dict[str, Any] = {"input_ids": ids}
    if kind == "encoder-decoder":
        given["decoder_input_ids"] = ids
    return given


def tokenizer(model_type: str) -> tuple[str | None, str | None]:
    """The class of a type's tokenizer, and its algorithm where the class has one without any file."""
    import transformers
    from transformers.models.auto.configuration_auto import model_type_to_module_name
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

    listed: Any = TOKENIZER_MAPPING_NAMES.get(model_type)  # a pair of slow and fast in older versions
    names = [name for name in (listed if isinstance(listed, tuple) else (listed,)) if name]
    if not names:  # some packages hold their own tokenizer and are not in the table
        with contextlib.suppress(Exception):
            package = model_type_to_module_name(model_type)
            module = importlib.import_module(f"transformers.models.{package}.tokenization_{package}")
            names = [name for name in getattr(module, "__all__", ()) if name.endswith("Tokenizer")]
    if not names:
        return None, None
    algorithm = None
    with contextlib.suppress(AttributeError, ImportError):  # some need libraries that are not here
        algorithm = getattr(getattr(transformers, names[-1]).model, "__name__", None)
    return names[-1], algorithm


def require() -> str:
    """The version of `transformers`. Raises `RequestError` where it is not installed."""
    if (found := version()) is None:
        raise RequestError("transformers is not installed: pip install transformers")
    return found


def _configs(config: Any) -> list[Any]:
    """The config itself and that of the language model in it."""
    text = config.get_text_config(decoder=True)
    return [config] if text is config else [config, text]


def _fill(config: Any) -> frozenset[str]:
    """Fill in what a config leaves to the checkpoint; the keys that were."""
    filled = set()
    for each in _configs(config):
        for name, value in _values(each).items():
            with contextlib.suppress(Exception):  # a key that may differ by layer refuses to be asked for
                if getattr(each, name, 0) in (None, {}):
                    setattr(each, name, value)
                    filled.add(name)
    return frozenset(filled)


def _values(config: Any) -> dict[str, Any]:
    """Values for keys that some configs leave to the checkpoint: any will do."""
    found: dict[str, Any] = {
        "pad_token_id": 0,
        "vocab_size": 1024,
        "num_experts_per_tok": 2,
        "n_routed_experts": 8,
        "n_shared_experts": 1,
        "indexer_n_heads": 4,
        "indexer_kv_heads": 1,
        "indexer_budget": 64,
        "indexer_compress_ratio": 4,
    }
    with contextlib.suppress(Exception):  # a key that may differ by layer refuses to be asked for
        heads, width = config.num_attention_heads, config.hidden_size
        found |= {"num_key_value_heads": heads, "head_dim": width // heads}
        found["indexer_head_dim"] = getattr(config, "head_dim", None) or width // heads
    with contextlib.suppress(Exception):
        found["default_language"] = config.languages[0]
    with contextlib.suppress(Exception):
        plain = {"rope_type": "default", "rope_theta": 10000.0}
        found["rope_parameters"] = {each: plain for each in set(config.layer_types)}
    return found
