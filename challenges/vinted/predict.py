"""Artifact + photos -> the output file. Needs neither torch nor labels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from common.artifacts import load_artifact
from common.cli import progress
from common.data.archives import MemberError
from common.data.images import ImageError, decode_image, letterbox_image, nearest_size, read_header
from common.errors import UserError
from common.inference.batch import Engine, available_cores, map_chunks, stack_alike
from common.inference.session import create_session

if TYPE_CHECKING:
    import onnxruntime
    import pandas as pd
    import pyarrow as pa

    from challenges.vinted.dataset import Catalogue, Dataset
    from common.inference.cluster import Shard, Worker

DEFAULT_MODEL = Path(__file__).resolve().parents[2] / "data" / "weights" / "vinted"
CHUNK_SIZE = 8  # photos in one pass: their activations stay in a core's cache


@dataclass(frozen=True)
class Model:
    """The exported network with what is needed to read its outputs."""

    session: onnxruntime.InferenceSession
    categories: tuple[str, ...]
    tags: tuple[str, ...]
    colors: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]  # (height, width): each photo is taken in the one that is nearest to its shape
    thresholds: NDArray[np.float32]  # (n_tags,): a tag is present from this probability on
    prior: Probabilities  # of one row: what training saw on average, the answer for an unreadable photo


@dataclass(frozen=True)
class Probabilities:
    """Probabilities of N photos: calibrated, but for the colour's, which are the network's softmax as it is."""

    category: NDArray[np.float32]  # (N, n_categories), rows sum to 1
    tags: NDArray[np.float32]  # (N, n_tags)
    color: NDArray[np.float32]  # (N, n_colors), rows sum to 1

    @staticmethod
    def concatenate(parts: Sequence[Probabilities]) -> Probabilities:
        """Stack the rows of several."""
        return Probabilities(*(np.concatenate([getattr(p, f) for p in parts]) for f in ("category", "tags", "color")))


def load_model(directory: Path = DEFAULT_MODEL) -> Model:
    """Load and check an artifact.

    Raises:
        UserError: it is missing, damaged, of another challenge or of another version of this program.
    """
    artifact = load_artifact(directory, "vinted")
    manifest = artifact.manifest
    try:
        prior = manifest.config["prior"]
        return Model(
            session=create_session(artifact.path("model.onnx")),
            categories=tuple(manifest.labels["category"]),
            tags=tuple(manifest.labels["tags"]),
            colors=tuple(manifest.labels["color"]),
            sizes=tuple((height, width) for height, width in manifest.input["sizes"]),
            thresholds=np.array([manifest.config["thresholds"][t] for t in manifest.labels["tags"]], dtype=np.float32),
            prior=Probabilities(*(np.array([prior[k]], dtype=np.float32) for k in ("category", "tags", "color"))),
        )
    except KeyError as error:
        raise UserError(
            f"the model in {directory} was written by another version of this program, which did not tell {error}: "
            "train it anew, or predict with that version"
        ) from error


def read_photo(model: Model, data: bytes, max_pixels: int = 50_000_000) -> NDArray[np.uint8]:
    """Bytes of a photo -> (H, W, 3) uint8 RGB in the model's size that is nearest to its shape; nothing is stretched.

    Raises:
        ImageError: as of `decode_image`.
    """
    header = read_header(data)
    shape = (header.height, header.width) if header.orientation < 5 else (header.width, header.height)
    photo = decode_image(data, min_size=nearest_size(shape, model.sizes), max_pixels=max_pixels)
    # By the shape it has now: only of a JPEG does the header tell whether EXIF turns it.
    return letterbox_image(photo, nearest_size(photo.shape[:2], model.sizes))


def predict_images(model: Model, images: Sequence[NDArray[np.uint8]]) -> Probabilities:
    """N photos as `read_photo` returns them -> probabilities."""
    columns = (model.categories, model.tags, model.colors)
    found = Probabilities(*(np.empty((len(images), len(names)), np.float32) for names in columns))
    for rows, pixels in stack_alike(images, len(images)):
        category, tags, color = model.session.run(["category", "tags", "color"], {"pixels": pixels})
        found.category[rows], found.tags[rows], found.color[rows] = category, tags, color
    return found


def predict_photos(
    model: Model,
    uuids: Sequence[str],
    read: Callable[[str], bytes],
    *,
    n_workers: int | None = None,
    description: str = "predicting",
) -> tuple[Probabilities, dict[int, str]]:
    """Read, decode and predict photos; what cannot be read gets the training prior.

    Args:
        model: from `load_model`.
        uuids: which photos, in which order.
        read: returns a photo's bytes, or raises KeyError, OSError or MemberError; called from many threads.
        n_workers: threads; by default one for each available core.
        description: of the progress bar.

    Returns:
        Probabilities of all N photos, in order, and the reason for each photo that could not be read, by row.
    """

    def work(chunk: list[str]) -> tuple[Probabilities, dict[int, str]]:
        images = []
        reasons: dict[int, str] = {}
        for i, uuid in enumerate(chunk):
            try:
                images.append(read_photo(model, read(uuid)))
            except (KeyError, OSError, MemberError, ImageError) as error:
                images.append(np.zeros((*model.sizes[0], 3), np.uint8))
                reasons[i] = "no photo of this uuid" if isinstance(error, KeyError) else str(error)
        found = predict_images(model, images)
        for name in ("category", "tags", "color"):
            getattr(found, name)[list(reasons)] = getattr(model.prior, name)
        return found, reasons

    parts: list[Probabilities] = [
        Probabilities(*(a[:0] for a in (model.prior.category, model.prior.tags, model.prior.color)))
    ]
    unreadable: dict[int, str] = {}
    with progress(description, total=len(uuids)) as advance:
        done = 0
        for found, reasons in map_chunks(work, uuids, CHUNK_SIZE, n_workers or available_cores()):
            unreadable |= {done + i: reason for i, reason in reasons.items()}
            done += len(found.category)
            parts.append(found)
            advance(len(found.category))
    return Probabilities.concatenate(parts), unreadable


def top_two(category: NDArray[np.float32]) -> NDArray[np.int64]:
    """(N, C) probabilities -> (N, 2) the likeliest category and the second; never the same one."""
    return np.argsort(-category, axis=1, kind="stable")[:, :2]


def predict_dataset(model: Model, dataset: Dataset) -> tuple[pd.DataFrame, Probabilities, dict[int, str]]:
    """Predict every row of `test.parquet`, in its order, in the form of its `example_predictions.parquet`."""
    part = _predict_here(model, dataset)
    return tabulate(model, part.uuids, part.probabilities, dataset.example), part.probabilities, part.unreadable


def tabulate(
    model: Model, uuids: Sequence[str], probabilities: Probabilities, example: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Write the answer as the assignment wants it: uuid, category1, category2 and one column for each tag.

    Categories are names, or codes in the alphabetical order of the names where the example holds codes;
    columns and dtypes are the example's. Where the example is a categorical (a dictionary in parquet), plain values are
    written: it lists what the example holds, not what can be answered.

    Raises:
        UserError: the example has a column that is none of these.
    """
    import pandas as pd

    from challenges.vinted.dataset import holds_codes

    order = top_two(probabilities.category)  # (N, 2)
    decisions = (probabilities.tags >= model.thresholds).astype(np.int64)  # (N, n_tags)
    names = np.array(sorted(model.categories))
    codes = np.argsort(np.argsort(model.categories))[order]  # rank of each name
    categories = codes if example is not None and holds_codes(example["category1"]) else names[codes]
    frame = pd.DataFrame(
        {"uuid": uuids, "category1": categories[:, 0], "category2": categories[:, 1]}
        | dict(zip(model.tags, decisions.T, strict=True))
    )
    if example is None:
        return frame
    unknown = [c for c in example.columns if c not in frame.columns]
    if unknown:
        raise UserError(
            f"example_predictions.parquet: column {unknown[0]!r} is not one that is predicted "
            f"({', '.join(frame.columns)}); remove it"
        )
    dtypes = {c: t.categories.dtype if isinstance(t, pd.CategoricalDtype) else t for c, t in example.dtypes.items()}
    return frame[list(example.columns)].astype(dtypes)


@dataclass(frozen=True)
class Answer:
    """What is said of one photo."""

    categories: tuple[tuple[str, float], ...]  # the two likeliest with their probabilities, the likeliest first
    tags: dict[str, tuple[bool, float]]  # whether it is there, and its probability
    color: tuple[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "categories": [{"name": name, "probability": p} for name, p in self.categories],
            "tags": {name: {"present": present, "probability": p} for name, (present, p) in self.tags.items()},
            "color": {"name": self.color[0], "probability": self.color[1]},
        }

    def __str__(self) -> str:
        """One line to read."""
        categories = " or ".join(f"{name} ({p:.0%})" for name, p in self.categories)
        tags = ", ".join(f"{name} ({p:.0%})" for name, (present, p) in self.tags.items() if present)
        return f"{categories}; {tags or 'no pattern tag'}; colour {self.color[0]}"


def describe(model: Model, probabilities: Probabilities, row: int) -> Answer:
    """Put one row of probabilities into words."""
    category, tags, color = (a[row] for a in (probabilities.category, probabilities.tags, probabilities.color))
    best = top_two(category[None])[0]
    return Answer(
        categories=tuple((model.categories[c], round(float(category[c]), 4)) for c in best),
        tags={
            tag: (bool(p >= threshold), round(float(p), 4))
            for tag, p, threshold in zip(model.tags, tags, model.thresholds, strict=True)
        },
        color=(model.colors[int(color.argmax())], round(float(color.max()), 4)),
    )


def read_file(path: str) -> bytes:
    """Return the bytes of a file named on the command line.

    Raises:
        OSError: it cannot be read; the text is the reason alone.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise OSError(error.strerror or "cannot be read") from error


def tabulate_probabilities(model: Model, uuids: Sequence[str], probabilities: Probabilities) -> pd.DataFrame:
    """One row a photo: uuid, then the probability of each category, tag and colour under its own name."""
    import pandas as pd

    columns: dict[str, Any] = {"uuid": uuids}
    for names, values in (
        (model.categories, probabilities.category),
        (model.tags, probabilities.tags),
        (model.colors, probabilities.color),
    ):
        columns |= dict(zip(names, values.T, strict=True))
    return pd.DataFrame(columns)


@dataclass(frozen=True)
class Part:
    """What was predicted for consecutive rows of `test.parquet`."""

    uuids: list[str]
    probabilities: Probabilities
    unreadable: dict[int, str]  # reason by row, counted from the part's first


def predict_file(
    directory: Path, data: Path | str, out: Path, *, engine: Engine = Engine.LOCAL, probabilities: bool = False
) -> tuple[int, list[dict[str, Any]]]:
    """Predict every row of a data set's `test.parquet` into `out`, in the form of `example_predictions.parquet`.

    Args:
        directory: the artifact. With Ray on several machines, each must see it at this path.
        data: folder or archive in the official layout. With Ray a folder, at a path every machine sees or an
            fsspec address; its `test.parquet` may be a folder of parquet files.
        out: parquet file. Ray's finished shards lie beside it in `<out>.shards/`, and a later run of the same
            data and model takes them from there.
        engine: where to run.
        probabilities: also write `<out>.probabilities.parquet`.

    Returns:
        Number of rows, and row, uuid and reason of each photo that could not be read.
    """
    from challenges.vinted.dataset import load, locate
    from common.data.tables import append_parquet, beside

    model = load_model(directory)
    if engine is Engine.RAY:
        catalogue = locate(str(data))
        example, parts = catalogue.example, _predict_on_ray(model, directory, catalogue, beside(out, ".shards"))
    else:
        dataset = load(Path(data), part="test")
        example, parts = dataset.example, iter([_predict_here(model, dataset)])
    n_rows, unreadable = 0, []
    with ExitStack() as stack:
        append = stack.enter_context(append_parquet(out))
        if probabilities:
            append_probabilities = stack.enter_context(append_parquet(beside(out, ".probabilities.parquet")))
        for part in parts:
            append(tabulate(model, part.uuids, part.probabilities, example))
            if probabilities:
                append_probabilities(tabulate_probabilities(model, part.uuids, part.probabilities))
            unreadable += [
                {"row": n_rows + row, "uuid": part.uuids[row], "reason": why} for row, why in part.unreadable.items()
            ]
            n_rows += len(part.uuids)
    return n_rows, unreadable


def _predict_here(model: Model, dataset: Dataset) -> Part:
    assert dataset.test is not None
    uuids = dataset.test["uuid"].tolist()
    return Part(uuids, *predict_photos(model, uuids, dataset.photos.read))


def _predict_on_ray(model: Model, directory: Path, catalogue: Catalogue, folder: Path) -> Iterator[Part]:
    from common.artifacts import fingerprint
    from common.data.remote import identity
    from common.inference.cluster import cut_into_shards, map_shards

    shards = cut_into_shards(catalogue.rows)
    known = [repr(shards), fingerprint([directory]), identity(catalogue.rows), identity(catalogue.photos)]
    run = hashlib.sha256("\n".join(known).encode()).hexdigest()
    make_worker = partial(_make_worker, directory.resolve(), catalogue.photos)
    paths = map_shards(make_worker, shards, folder, run, description="predicting")
    return (_read_part(model, path) for path in paths)


def _read_part(model: Model, path: Path) -> Part:
    import pandas as pd

    frame = pd.read_parquet(path)
    columns = (list(names) for names in (model.categories, model.tags, model.colors))
    found = Probabilities(*(frame[names].to_numpy(np.float32) for names in columns))
    unreadable = {row: why for row, why in enumerate(frame["unreadable"]) if isinstance(why, str)}
    return Part(frame["uuid"].tolist(), found, unreadable)


def _make_worker(directory: Path, photos: str) -> Worker:
    """Load the model and open the photos, in the process that predicts; return what predicts a shard."""
    from challenges.vinted.dataset import check_test, photos_at
    from common.data.remote import is_remote

    model, opened = load_model(directory), photos_at(photos)
    n_workers = 4 if is_remote(photos) else 1  # while one thread waits for the network another computes

    def work(shard: Shard) -> pa.Table:
        import pyarrow as pa

        uuids = check_test(shard.read(), shard.address)["uuid"].tolist()
        found, unreadable = predict_photos(model, uuids, opened.read, n_workers=n_workers)
        reasons = pa.array([unreadable.get(row) for row in range(len(uuids))], pa.string())
        table = pa.Table.from_pandas(tabulate_probabilities(model, uuids, found), preserve_index=False)
        return table.append_column("unreadable", reasons)

    return work
