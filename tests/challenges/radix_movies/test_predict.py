"""Prediction: what each film is predicted from, what is reported, and how the model behaves."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from challenges.radix_movies.dataset import Dataset, Film, Posters, decode_poster, load
from challenges.radix_movies.drawing import draw_poster
from challenges.radix_movies.explain import as_features, contributions, logit, region_effects, word_effects
from challenges.radix_movies.export import HeadGraph
from challenges.radix_movies.features import POSTER_SIZE, TEXT_ENCODER, Features, Pictures
from challenges.radix_movies.layout import GENRES
from challenges.radix_movies.metrics import average_precisions
from challenges.radix_movies.model import Recipe, fit_model
from challenges.radix_movies.predict import (
    DEFAULT_MODEL,
    Model,
    Probabilities,
    load_model,
    predict_dataset,
    predict_features,
    predict_films,
    rank,
    tabulate,
)
from challenges.radix_movies.sample import write_sample
from common.data.images import ImageError, encode_jpeg
from common.data.tables import write_with_report
from common.errors import UserError
from common.inference.batch import Engine
from common.inference.session import create_session

NEUTRAL = "A man comes back to the town where he grew up and meets the people whom he left behind."
THREAT = "A detective hunts a serial killer."


def chances(model: Model, text: str = "", poster: bytes | None = None) -> dict[str, float]:
    pixels = None if poster is None else decode_poster(poster, POSTER_SIZE).pixels
    vector = None if pixels is None else model.encoders.encode_posters(pixels[None])[0]
    features = as_features(model, [text], [vector])
    found = predict_features(model, features).answer(features, model.prior)[0]
    return dict(zip(model.genres, found.tolist(), strict=True))


def poster_of(*genres: str, quality: int = 90, seed: int = 0) -> bytes:
    return encode_jpeg(draw_poster(np.random.default_rng(seed), genres, "A Film"), quality)


def test_a_killer_makes_a_synopsis_a_crime_thriller(model: Model):
    before, after = chances(model, NEUTRAL), chances(model, f"{NEUTRAL} {THREAT}")
    assert after["Crime"] > before["Crime"] + 0.1
    assert after["Thriller"] > before["Thriller"] + 0.1
    assert after["Romance"] < before["Romance"]


def test_case_of_words_hardly_matters(model: Model):
    plain, loud = chances(model, f"{NEUTRAL} {THREAT}"), chances(model, f"{NEUTRAL} {THREAT}".upper())
    assert plain == pytest.approx(loud, abs=1e-6)


def test_jpeg_quality_hardly_matters(model: Model):
    fine, coarse = (chances(model, poster=poster_of("Romance", quality=q)) for q in (95, 40))
    assert fine == pytest.approx(coarse, abs=0.1)


def test_the_head_in_onnx_and_int8_says_what_the_fitted_model_says(seen: tuple[Features, Pictures], sample: Dataset):
    features, labels = seen[0], sample.labels
    rows = np.flatnonzero(labels.any(axis=1))
    fitted = fit_model(features.take(rows), labels[rows], np.arange(len(rows)), Recipe())
    head = create_session(HeadGraph(fitted).serialized())
    encoders = load_model().encoders
    model = Model(encoders, head, fitted.space.lexicon, GENRES, fitted.machines["text"].offset)
    found = predict_features(model, features).answer(features, model.prior)
    np.testing.assert_allclose(found, fitted.predict(features), atol=0.02)
    lost = features.without(text=True, poster=True)
    np.testing.assert_allclose(
        predict_features(model, lost).answer(lost, model.prior), np.tile(model.prior, (len(features), 1))
    )


def test_each_film_is_predicted_from_what_it_has(model: Model, sample: Dataset, tmp_path: Path):
    films = [replace(film, genres=frozenset()) for film in sample.films[:40]]
    found = predict_films(model, films, sample.posters)
    for film, modality in zip(films, found.modalities, strict=True):
        has_poster = film.movie_id in sample.posters.members and not film.movie_id.endswith("017")
        expected = [name for name, there in (("synopsis", film.synopsis), ("poster", has_poster)) if there]
        assert modality == ("+".join(expected) or "none")
    frame = tabulate(films, found, model.genres)
    write_with_report(frame, tmp_path / "predictions.parquet", {"flaws": {}})
    back = pd.read_parquet(tmp_path / "predictions.parquet")
    assert list(back) == [
        "movie_id", *(f"genre{i}" for i in range(1, 6)), *(f"probability{i}" for i in range(1, 6)), "modalities",
    ]  # fmt: skip
    assert back["movie_id"].tolist() == [film.movie_id for film in films]
    ranked = back[[f"probability{i}" for i in range(1, 6)]].to_numpy()
    assert (np.diff(ranked, axis=1) <= 0).all()
    assert all(len(set(row)) == 5 and set(row) <= set(GENRES) for row in back.iloc[:, 1:6].to_numpy())
    assert json.loads((tmp_path / "predictions.report.json").read_text()) == {"flaws": {}}


def test_a_film_with_nothing_gets_the_prior(model: Model):
    found = predict_films(model, [Film("x", "A title alone", "", None, frozenset())], Posters(None, {}))
    assert found.modalities == ["none"]
    assert found.probabilities[0] == pytest.approx(model.prior)
    assert predict_films(model, [], Posters(None, {})).probabilities.shape == (0, 18)


def test_every_flaw_is_counted_and_named(model: Model, tmp_path: Path):
    write_sample(tmp_path / "made", n_films=8)
    made = load(tmp_path / "made")
    folder = tmp_path / "data"
    (folder / "posters").mkdir(parents=True)
    still = encode_jpeg(draw_poster(np.random.default_rng(0), ["War"], "x", (120, 200)))
    files = {
        "a": poster_of("War"),
        "b": b"not a picture",
        "c": poster_of("War")[:800],
        "d": still,
        "z": poster_of("War"),
    }
    files["e"] = encode_jpeg(np.full((300, 200, 3), 90, np.uint8))
    for name, data in files.items():
        (folder / "posters" / f"{name}.jpg").write_bytes(data)
    rows = [
        ("a", f"<b>{NEUTRAL}</b>", "Drama|Noir"), ("b", NEUTRAL, "Drama"), ("c", "N/A", "War"),
        ("d", "Une jeune femme rencontre un homme mystérieux qui change sa vie pendant un voyage.", ""),
        ("e", NEUTRAL, "War"), ("f", NEUTRAL, "War"), ("f", NEUTRAL, "War"), ("", NEUTRAL, "War"),
    ]  # fmt: skip
    pd.DataFrame(rows, columns=["movie_id", "synopsis", "genres"]).to_csv(folder / "films.csv", index=False)
    dataset = load(folder)
    found = predict_dataset(DEFAULT_MODEL, dataset, model=model)
    assert dict(dataset.flaws.counts) == {
        "html_in_synopsis": 1, "unknown_genre": 1, "unreadable_poster": 3, "empty_synopsis": 1, "foreign_synopsis": 1,
        "still_instead_of_poster": 1, "repeated_film": 1, "no_id": 1, "missing_poster": 3, "poster_without_film": 1,
    }  # fmt: skip
    assert dataset.flaws.as_dict()["unknown_genre"] == {"count": 1, "examples": ["a: Noir"]}
    assert found.modalities == ["synopsis+poster", "synopsis", "none", "poster", *["synopsis"] * 4]
    assert [film.movie_id for film in load(folder, labelled=True).films] == ["a", "b", "c", "e", "f", "row 8"]
    assert made.posters.store is not None


def test_ray_blocks_give_the_local_answer(
    model: Model, sample: Dataset, no_cluster: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("challenges.radix_movies.predict.BLOCK", 7)
    dataset = replace(sample, films=sample.films[10:31])
    local = predict_dataset(DEFAULT_MODEL, dataset, model=model)
    ray = predict_dataset(DEFAULT_MODEL, dataset, Engine.RAY)
    assert np.array_equal(local.probabilities, ray.probabilities)
    assert (local.modalities, local.pictures) == (ray.modalities, ray.pictures)


def test_contributions_add_up_and_a_lacking_modality_has_none(model: Model, seen: tuple[Features, Pictures]):
    features = seen[0].take(np.arange(20))
    parts = contributions(model, features)
    whole = logit(predict_features(model, features).answer(features, model.prior))
    np.testing.assert_allclose(parts.prior + parts.text + parts.poster, whole, atol=1e-4)
    assert np.abs(parts.poster[~features.has_poster]).max() < 1e-4
    assert np.abs(parts.text[~features.has_text]).max() < 1e-4


def test_the_words_of_a_genre_speak_for_it(model: Model):
    effects = dict(word_effects(model, f"{NEUTRAL} {THREAT}", None, GENRES.index("Crime")))
    assert max(effects, key=effects.get) in ("detective", "serial", "killer.", "hunts")
    assert len(effects) == len(set(f"{NEUTRAL} {THREAT}".split()))


def test_regions_outside_a_motif_matter_less(model: Model):
    pixels = np.full((*POSTER_SIZE, 3), 128, np.uint8)
    pixels[96:192, 48:144] = decode_poster(poster_of("Romance"), (96, 96)).pixels
    effects = np.abs(region_effects(model, pixels, "", GENRES.index("Romance")))
    assert effects.shape == (6, 4)
    assert effects[2:4, 1:3].mean() > effects[5].mean()


def test_answers_come_from_the_right_network():
    one, two, three, prior = (np.full((4, 2), value, np.float32) for value in (1, 2, 3, 0))
    has_text, has_poster = np.array([1, 1, 0, 0], bool), np.array([1, 0, 1, 0], bool)
    features = Features([""] * 4, np.zeros((4, 3, 1), "f4"), np.zeros((4, 1), "f4"), has_text, has_poster)
    assert Probabilities(one, two, three).answer(features, prior[0])[:, 0].tolist() == [3, 1, 2, 0]
    assert rank(np.array([[0.1, 0.5, 0.5, 0.2, 0.3, 0.4]], np.float32)).tolist() == [[1, 2, 5, 4, 3]]


def test_another_text_encoder_and_a_blank_poster_are_refused(tmp_path: Path):
    with pytest.raises(UserError, match="no model in"):
        load_model(tmp_path)
    other = shutil.copytree(TEXT_ENCODER, tmp_path / "encoder") / "manifest.json"
    other.write_text(other.read_text().replace("all-MiniLM-L6-v2", "fine-tuned"))
    with pytest.raises(UserError, match=r"trained with the text encoder all-MiniLM-L6-v2, and .* holds fine-tuned"):
        load_model(text_encoder=tmp_path / "encoder")
    with pytest.raises(ImageError, match="one plain colour"):
        decode_poster(encode_jpeg(np.full((300, 200, 3), 90, np.uint8)), POSTER_SIZE)


@pytest.mark.real_data
def test_the_real_films_are_read_whole_and_answered_as_trained(model: Model, shared_data: Path):
    dataset = load(shared_data / "movies", labelled=True)
    assert (len(dataset.films), dict(dataset.flaws.counts)) == (3750, {})
    part = replace(dataset, films=dataset.films[::150])
    found = predict_dataset(DEFAULT_MODEL, part, model=model)
    assert set(found.modalities) == {"synopsis+poster"}
    assert average_precisions(part.labels, found.probabilities).mean() > 0.8  # they were learned from
