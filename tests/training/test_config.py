"""The configuration of a training, as a run keeps it."""

import dataclasses

import pytest
from helpers import changed, configuration

from srn_tf.data.config import DataConfig
from srn_tf.training.config import TrainingConfig

HELD_OUT = DataConfig(datalist="held_out.txt", data_root="elsewhere", crop_size=32)


@pytest.mark.parametrize("validation", [None, HELD_OUT])
def test_json_gives_it_back(validation):
    config = configuration(validation=validation, scale_weights=(0.3, 1.0), flips=True)
    assert TrainingConfig.from_json(config.to_json()) == config


def test_runs_of_old_have_the_fields_of_the_data_among_their_own():
    config = configuration(sharp_path="photos", min_blur=1.0, jpeg=80)
    old = config.to_json()
    del old["validation"]
    old |= old.pop("data")
    assert old["jpeg"] == 80
    assert TrainingConfig.from_json(old) == config


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({}, ""),
        ({"validation": HELD_OUT}, ""),  # it changes no number of the training
        ({"seed": 3}, "seed is 3, was 0"),
        ({"max_blur": 5.0}, "max_blur is 5.0, was 4.0"),
    ],
)
def test_the_first_difference_is_named(changes, difference):
    assert configuration(**changes).first_difference(configuration()) == difference


def test_workers_may_keep_their_data_in_different_places_and_must_agree_in_all_else():
    config = configuration(sharp_path="here")
    there = changed(config, sharp_path="there", validation=HELD_OUT, init_from="model.npz")
    assert there.same_on_all_workers() == config.same_on_all_workers()
    for other in (changed(config, flips=True), dataclasses.replace(config, lr=2e-3)):
        assert other.same_on_all_workers() != config.same_on_all_workers()


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"crop_size": 18}, "crop_size must be a multiple of 4, not 18"),
        ({"keep_sharp": 1.0}, r"keep_sharp must be 0 \(off\) or more, below 1, not 1.0"),
        ({"packed": "gopro.npz"}, "--packed, --datalist or --sharp_path is needed, and only one"),
        ({"saturation": 1.5}, r"saturation must be 0 \(off\) to 1, not 1.5"),
    ],
)
def test_rules_of_the_data_are_kept(changes, rule):
    with pytest.raises(ValueError, match=rule):
        configuration(**changes)
