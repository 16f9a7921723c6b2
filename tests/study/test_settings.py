import pytest
import yaml

from paribus.errors import RequestError
from paribus.study.planning import make_plan
from paribus.study.settings import load_yaml, resolve, size_names, study_names


@pytest.mark.parametrize("size", size_names())
def test_every_preset_of_tokenizers_names_them_once(size: str) -> None:
    settings = resolve(size, {}, study="tokenizer")  # its plan needs the text that they are trained on
    assert settings.arms is not None and settings.baseline in settings.arms
    assert len(set(settings.arms)) == len(settings.arms) >= 2


@pytest.mark.parametrize("study", [name for name in study_names() if name != "tokenizer"])
@pytest.mark.parametrize("size", size_names())
def test_every_preset_makes_a_plan(study: str, size: str) -> None:
    plan = make_plan(resolve(size, {}, study=study), data={"name": "text"}, study=study)
    assert len({arm.name for arm in plan.arms}) == len(plan.arms) >= 3
    assert plan.baseline in {arm.name for arm in plan.arms}


def test_options_and_then_overrides_are_laid_over_the_preset() -> None:
    settings = resolve(
        "default", {"seeds": 7, "data": None}, ["seeds=9", "train.tokens=2e6", "model.d_model=192"]
    )
    assert (settings.seeds, settings.data) == (9, "stdlib")
    assert settings.train.tokens == 2_000_000
    assert settings.model_section()["d_model"] == 192


def test_yaml_reads_exponents_as_numbers() -> None:
    assert load_yaml("[3e-3, 1E6, 2.5e1]") == [0.003, 1e6, 25.0]


def test_yaml_reads_on_and_off_as_words_and_true_as_a_boolean() -> None:
    assert load_yaml("[on, off, yes, true, False]") == ["on", "off", "yes", True, False]


@pytest.mark.parametrize(
    "text", ["!!timestamp x", "!!int x", "9" * 5000, "[" * 500, "!!python/name:os.system ''"]
)
def test_yaml_that_cannot_be_built_is_an_error_of_yaml(text: str) -> None:
    assert load_yaml("[2026-13-45, 2026-01-02]") == ["2026-13-45", "2026-01-02"]
    with pytest.raises(yaml.YAMLError):
        load_yaml(text)


def test_a_grid_that_is_none_is_one_sentence() -> None:
    with pytest.raises(RequestError, match="the setting vary is 5"):
        resolve("default", {"data": "x"}, [], file={"vary": 5})


def test_a_part_may_carry_options() -> None:
    settings = resolve("default", {}, ["model.norm={name: rmsnorm, eps: 1e-5}"])
    assert settings.model_section()["norm"] == {"name": "rmsnorm", "eps": 1e-5}


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["model.d_modl=192"], "there is no setting model.d_modl; did you mean model.d_model"),
        (["train.token=5"], "there is no setting train.token; did you mean train.tokens"),
        (["seed=5"], "there is no setting seed; did you mean seeds"),
        (["model.vocab_size=5"], "there is no setting model.vocab_size"),
        (["seeds=0"], "the setting seeds is 0: .*greater than or equal to 1"),
        (["model.d_model=large"], "the setting model.d_model is 'large'"),
        (["train.tokens=1.5"], "the setting train.tokens is 1.5"),
        (["train.dtype=float16"], "the setting train.dtype is 'float16'"),
        (["rates=[1e-3]"], "the setting rates is .*at least 3"),
        (["rates=[2e-3, 1e-3, 4e-3]"], "positive and rising"),
        (["rates=[1e-3, 2e-3, 1e-2]"], "evenly spaced"),
        (["rates=[1e-3, 2e-3, -4e-3]"], "rates"),
        (["d_model"], "an override is key=value"),
        (["data.name=x"], "'data' in 'data.name' has no fields"),
        (["arms=[]"], "the setting arms is"),
        (["train.warmup=[1"], "the value of train.warmup cannot be read"),
        (["train.warmup=2"], "train.warmup is a share of the run"),
    ],
)
def test_a_wrong_setting_is_one_sentence(overrides: list[str], said: str) -> None:
    with pytest.raises(RequestError, match=said) as error:
        resolve("default", {"data": "x"}, overrides)
    assert "\n" not in str(error.value)


def test_an_unknown_preset_offers_the_nearest() -> None:
    with pytest.raises(RequestError, match="did you mean quick"):
        resolve("quik", {})
