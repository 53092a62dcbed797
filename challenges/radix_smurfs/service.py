"""The segmenter over HTTP: an image in, every Smurf on it out, with name, mask and box; or a clip in, drawn upon."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Annotated

import numpy as np
from fastapi import Request, Response
from pydantic import BaseModel, Field, PositiveInt

from challenges.radix_smurfs.classifier import load_classifier
from challenges.radix_smurfs.predict import find_smurfs
from challenges.radix_smurfs.sample import render_image
from challenges.radix_smurfs.segment import VIDEO, segment_video
from challenges.radix_smurfs.segmenter import Image, Segmenter, load_segmenter
from challenges.radix_smurfs.video import count_packets, probe
from common.artifacts import Artifact, load_artifact
from common.data.images import ImageError, decode_image, encode_jpeg
from common.errors import UserError
from common.service.app import create_service, in_time
from common.service.errors import ItemError, ServiceError, document_errors
from common.service.limits import BodyReader, check_token
from common.service.schema import ModelCard, ServedModel
from common.service.scratch import scratch_folder
from common.service.settings import Seconds, ServiceSettings

if TYPE_CHECKING:
    from fastapi import FastAPI

    from challenges.radix_smurfs.classifier import Classifier

PAGE = Path(__file__).with_name("page.html")
ROUTE = "/v1/segment"
CLIPS = "/v1/clips"

Share = Annotated[float, Field(ge=0, le=1)]


class SmurfsSettings(ServiceSettings):
    """The service's settings and the limit of images; each is read from the environment."""

    max_pixels: PositiveInt = 25_000_000
    """Of one image, or a clip's frame; more is refused by its header."""
    max_frames: PositiveInt = 300
    """Of one clip."""
    clip_deadline_s: Seconds = 120
    """From a clip's last byte to the answer."""


class Mask(BaseModel):
    """COCO's run-length encoding, as pycocotools reads it."""

    size: list[PositiveInt] = Field(min_length=2, max_length=2, description="Height and width of the image.")
    counts: str


class SmurfAnswer(BaseModel):
    """One Smurf."""

    name: str
    probabilities: dict[str, Share] = Field(description="Of every name; they sum to 1.")
    score: Share = Field(description="That there is a Smurf at all.")
    box: list[float] = Field(min_length=4, max_length=4, description="x0, y0, x1, y1 in pixels.")
    mask: Mask


class ImageAnswer(BaseModel):
    """What is on one image."""

    width: PositiveInt
    height: PositiveInt
    smurfs: list[SmurfAnswer] = Field(description="The surest first.")


def create_smurfs_service(segmenter: Path, classifier: Path, settings: SmurfsSettings) -> FastAPI:
    """The application that serves two artifacts.

    Raises:
        UserError: one of them is missing or damaged.
    """
    found, named = load_segmenter(segmenter), load_classifier(classifier)

    def decode(data: bytes) -> Image:
        try:
            return decode_image(data, max_pixels=settings.max_pixels)
        except ImageError as error:
            raise ItemError("unreadable", str(error)) from error

    def predict(images: Sequence[Image]) -> list[ImageAnswer]:
        return [answer(image) for image in images]

    def answer(image: Image) -> ImageAnswer:
        smurfs = [
            SmurfAnswer(
                name=s.name,
                probabilities={name: min(1.0, p) for name, p in s.probabilities.items()},
                score=s.score,
                box=list(s.box),
                mask=Mask.model_validate(s.rle),
            )
            for s in find_smurfs(found, named, image)
        ]
        return ImageAnswer(width=image.shape[1], height=image.shape[0], smurfs=smurfs)

    served = ServedModel(
        card=_card(load_artifact(segmenter, "radix_smurfs"), named.names),
        answer=ImageAnswer,
        decode=decode,
        predict=predict,
        example=example_image(),
        path=ROUTE,
        field="images",
        files=True,
        media_types=("image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp", "application/octet-stream"),
        labels=_labels,
    )
    app = create_service(served, settings, page=PAGE.read_text(encoding="utf-8"))
    _add_clips(app, found, named, settings)
    return app


def _add_clips(app: FastAPI, segmenter: Segmenter, classifier: Classifier, settings: SmurfsSettings) -> None:
    """The route of clips: one at a time, for each takes all cores."""
    reader = BodyReader(settings, None, files=False)
    lock = Lock()

    def segment(clip: bytes) -> bytes:
        if not lock.acquire(blocking=False):  # here, not in the route: a clip past its deadline is still under way
            raise ServiceError("overloaded", "Another clip is under way; try again after it.")
        try:
            return segment_clip(clip, segmenter, classifier, settings)
        finally:
            lock.release()

    kinds = ("malformed", "body_timeout", "body_too_large", "no_items", "unprocessable", "internal", "overloaded")
    body = {
        kind: {"schema": {"type": "string", "format": "binary", "minLength": 1}} for kind in ("video/mp4", "video/*")
    }

    @app.post(
        CLIPS,
        summary=f"Outlines and names the Smurfs of a clip of up to {settings.max_frames} frames.",
        tags=["model"],
        response_class=Response,
        responses=document_errors(*kinds, "deadline", *(["unauthorized"] if settings.token else []))
        | {200: {"content": {"video/mp4": {"schema": {"type": "string", "format": "binary"}}}, "description": "H.264"}},
        openapi_extra={"requestBody": {"required": True, "content": body}},
    )
    async def clips(request: Request) -> Response:
        check_token(request, settings)
        async with reader.read(request) as (clip,):
            work = asyncio.to_thread(segment, clip)
            video = await in_time(work, request.receive, settings.clip_deadline_s)
        return Response(video, media_type="video/mp4")


def segment_clip(clip: bytes, segmenter: Segmenter, classifier: Classifier, settings: SmurfsSettings) -> bytes:
    """A video file -> an MP4 with every Smurf outlined and named.

    Raises:
        ServiceError: it is no video, or too large (kind unprocessable).
    """
    with scratch_folder() as folder:
        path = folder / "clip"
        path.write_bytes(clip)
        try:
            info = probe(path)
            if info.width * info.height > settings.max_pixels:
                raise UserError(f"frames of {info.width} x {info.height} pixels are too large; shrink them first")
            if count_packets(path) > settings.max_frames:
                raise UserError(
                    f"the clip has more than {settings.max_frames} frames; cut it, or run make smurfs-segment"
                )
            segment_video(path, folder, segmenter, classifier)
        except UserError as error:
            raise ServiceError("unprocessable", str(error).replace(str(path), "the file")) from error
        return (folder / VIDEO).read_bytes()


@lru_cache(1)
def example_image() -> bytes:
    """A generated JPEG: gnomes on a meadow."""
    return encode_jpeg(render_image(np.random.default_rng(5), 1)[0])


def _labels(answer: ImageAnswer) -> Iterator[str]:
    yield from {f"name:{smurf.name}" for smurf in answer.smurfs} or {"nobody"}


def _card(artifact: Artifact, names: Sequence[str]) -> ModelCard:
    manifest = artifact.manifest
    return ModelCard(
        name="Smurfs",
        version=f"{manifest.created:%Y-%m-%d}-{manifest.files['model.onnx'][:12]}",
        created=manifest.created,
        description="Image -> every Smurf on it: mask, box, and which of four it is.",
        labels={"name": list(names)},
        input=manifest.input,
        thresholds={"smurf": float(manifest.config["score_threshold"])},
        metrics={k: v for k, v in manifest.metrics.items() if k in ("int8", "protocol")},
        limitations=[
            "Learned from 42 drawings and film stills: other figures in blue and white may be taken for Smurfs.",
            "Names are judged on the figure alone, image by image; in a video the segment command lets tracks vote.",
            "Smurfs lower than a twentieth of the image are often missed.",
        ],
        data_fingerprint=manifest.data_fingerprint,
    )
