"""The service: an image in, Smurfs out, over the factory of common.service."""

import json
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from challenges.radix_smurfs import service
from challenges.radix_smurfs.dataset import NAMES
from challenges.radix_smurfs.geometry import rle_box, rle_to_mask
from challenges.radix_smurfs.sample import render_image, write_sample
from challenges.radix_smurfs.service import (
    CLIPS,
    ROUTE,
    SmurfsSettings,
    create_smurfs_service,
    example_image,
    segment_clip,
)
from challenges.radix_smurfs.video import count_packets
from common.data.images import encode_jpeg
from common.errors import UserError
from common.service.errors import ServiceError
from common.service.settings import read_settings

WEIGHTS = Path(__file__).resolve().parents[3] / "data" / "weights" / "radix_smurfs"


@pytest.fixture(scope="module")
def client():
    app = create_smurfs_service(WEIGHTS / "segmenter", WEIGHTS / "classifier", SmurfsSettings(max_pixels=2_000_000))
    with TestClient(app) as client:
        while client.get("/ready").status_code != 200:
            pass
        yield client


def test_an_image_is_answered_with_names_boxes_and_masks(client: TestClient):
    done = client.post(ROUTE, content=example_image(), headers={"content-type": "image/jpeg"})
    assert done.status_code == 200
    answer = done.json()["results"][0]["answer"]
    height, width = answer["height"], answer["width"]
    assert len(answer["smurfs"]) >= 1
    for smurf in answer["smurfs"]:
        assert smurf["name"] in NAMES
        assert sum(smurf["probabilities"].values()) == pytest.approx(1, abs=1e-3)
        assert smurf["name"] == max(smurf["probabilities"], key=smurf["probabilities"].get)
        mask = rle_to_mask(smurf["mask"])
        assert mask.shape == (height, width)
        np.testing.assert_allclose(rle_box(smurf["mask"]), smurf["box"], atol=12)


def test_several_images_one_of_them_broken(client: TestClient):
    small = encode_jpeg(render_image(np.random.default_rng(0), 0)[0])
    files = [("images", ("a.jpg", small, "image/jpeg")), ("images", ("b.jpg", b"no image", "image/jpeg"))]
    results = client.post(ROUTE, files=files).json()["results"]
    assert "answer" in results[0]
    assert results[1]["error"]["kind"] == "unreadable"


def test_too_many_pixels_are_refused(client: TestClient):
    large = encode_jpeg(np.zeros((1500, 1500, 3), np.uint8))
    done = client.post(ROUTE, content=large, headers={"content-type": "image/jpeg"})
    assert done.status_code == 200
    (result,) = done.json()["results"]
    assert result["error"]["kind"] == "unreadable"
    assert "answer" not in result


def test_the_document_shows_the_route_and_the_card_its_limits(client: TestClient):
    document = client.get("/openapi.json").json()
    assert ROUTE in document["paths"]
    assert "counts" in json.dumps(document)
    assert "nobody" in set(service._labels(service.ImageAnswer(width=1, height=1, smurfs=[])))


def test_clips_are_limited_and_what_is_none_is_told(tmp_path: Path):
    clip = (write_sample(tmp_path, n_images=1, n_frames=6) / "sample_video.mp4").read_bytes()
    for settings, data, words in (
        (SmurfsSettings(max_frames=5), clip, "more than 5 frames"),
        (SmurfsSettings(max_pixels=1000), clip, "too large"),
        (SmurfsSettings(), b"no video", "^the file: not a video"),
    ):
        with pytest.raises(ServiceError, match=words):
            segment_clip(data, None, None, settings)  # refused before anything is looked for


def test_a_clip_is_answered_with_a_video(client: TestClient, tmp_path: Path):
    clip = (write_sample(tmp_path, n_images=1, n_frames=6) / "sample_video.mp4").read_bytes()
    done = client.post(CLIPS, content=clip, headers={"content-type": "video/mp4"})
    assert done.status_code == 200
    (tmp_path / "answer.mp4").write_bytes(done.content)
    assert count_packets(tmp_path / "answer.mp4") == 6


def test_a_missing_artifact_is_the_users_to_mend(tmp_path: Path):
    with pytest.raises(UserError, match="no model"):
        create_smurfs_service(tmp_path, WEIGHTS / "classifier", SmurfsSettings())


def test_an_endless_deadline_is_the_users_mistake(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SERVICE_CLIP_DEADLINE_S", "inf")
    with pytest.raises(UserError, match="SERVICE_CLIP_DEADLINE_S"):
        read_settings(SmurfsSettings)
