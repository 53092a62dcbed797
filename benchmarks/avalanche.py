"""Discovery of many answers, and BERTopic beside it.

    python benchmarks/avalanche.py [--part discovery|bertopic] [--data FILE] [--sizes N ...] [--quick]

1. discovery: time, of which reading, and peak memory of 600, 20,000 and 200,000 answers (`--sizes`). Each size runs in
   a process of its own, on all cores this process may use. Answers are made by the sample's grammar with a number in
   each, so that every text is distinct and the encoder reads all of them: the slowest case.
2. bertopic: BERTopic with its defaults and ours on a coded survey (`--data`, else the generated sample, whose figures
   are printed and not written), in turn, with the same encoder: seconds from texts to themes, and agreement with the
   analysts' themes.
`--part` measures one part and keeps what the last run wrote of the others. `--quick` measures little of everything, and
writes nothing.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

RESULT = Path(__file__).with_suffix(".json")
PARTS = ("discovery", "bertopic")
SIZES = [600, 20_000, 200_000]
QUICK_SIZES = [200]
N_SEEDS = 3


def main() -> None:
    """Measure the parts that are asked for and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)  # this process measures one size
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure_discovery(options.one)))
        return

    from common.data.tables import write_json
    from common.inference.batch import available_cores

    sizes = options.sizes or (QUICK_SIZES if options.quick else SIZES)
    run: dict[str, Callable[[], Any]] = {
        "discovery": lambda: [in_own_process(size) for size in sizes],
        "bertopic": lambda: measure_bertopic(options.data, 1 if options.quick else N_SEEDS),
    }
    found = json.loads(options.out.read_text("utf-8")) if options.out.is_file() else {}
    for part in [options.part] if options.part else PARTS:
        found[part] = {"cores": available_cores(), "load_average": os.getloadavg()[0], "runs": run[part]()}
        if not options.quick and (options.data or part != "bertopic"):
            write_json(found, options.out)


# ---- discovery


def in_own_process(size: int) -> dict[str, float]:
    """`measure_discovery` with a peak of memory of its own."""
    done = subprocess.run([sys.executable, __file__, "--one", str(size)], stdout=subprocess.PIPE, text=True, check=True)
    run: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(
        f"{size} answers: {run['seconds']:.0f} s, of which reading {run['encoding_seconds']:.0f} s "
        f"({run['texts_per_second']:.0f} texts a second); {run['peak_mb']:.0f} MB"
    )
    return run


def measure_discovery(n_answers: int) -> dict[str, float]:
    """Discover the themes of so many distinct answers."""
    from challenges.avalanche.discovery import discover
    from challenges.avalanche.embedding import embed

    question = make_question(n_answers)
    encoding, n_texts = 0.0, 0

    def embedder(texts):
        nonlocal encoding, n_texts
        start = time.perf_counter()
        vectors = embed(texts)
        encoding += time.perf_counter() - start
        n_texts += len(set(texts))
        return vectors

    embedder(["warm"])
    encoding, n_texts = 0.0, 0
    start = time.perf_counter()
    found = discover(question, embedder=embedder)
    seconds = time.perf_counter() - start
    return {
        "answers": n_answers,
        "seconds": seconds,
        "encoding_seconds": encoding,
        "texts_encoded": n_texts,
        "texts_per_second": n_texts / encoding,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "themes": len(found.themes),
    }


def make_question(n_answers: int):
    """The sample's answers, each with a number of its own, of three to twelve words as in the assignment's data."""
    from challenges.avalanche.dataset import Question, load
    from challenges.avalanche.sample import write_sample

    with tempfile.TemporaryDirectory() as folder:
        question = load(write_sample(Path(folder), n_respondents=2_000)).questions[0]
    rows = np.flatnonzero(question.answers["usable"] & (question.answers["response"].str.len() < 300))
    rows = np.resize(rows, n_answers)  # again from the start, as often as it takes
    answers = question.answers.iloc[rows].reset_index(drop=True)
    answers["response"] = [f"{text} {number}" for number, text in enumerate(answers["response"])]
    answers["respondent_id"] = [str(number) for number in range(n_answers)]
    return Question(question.text, answers, question.segments.iloc[rows].reset_index(drop=True))


# ---- bertopic


def measure_bertopic(data: Path | None, n_seeds: int) -> list[dict[str, Any]]:
    """Time and agreement of both methods on every question that has codes; BERTopic only where it is installed."""
    from challenges.avalanche.dataset import load
    from challenges.avalanche.sample import write_sample

    with tempfile.TemporaryDirectory() as folder:
        survey = load(data or write_sample(Path(folder)))
    found = []
    for question in survey.questions:
        if question.answers["themes"].map(len).max():
            methods = compare_methods(question, n_seeds)
            found.append({"survey": survey.name, "question": question.text, "answers": len(question.answers)} | methods)
            print(f"{question.text!r}: {methods}")
    if find_spec("bertopic") is None:
        print("BERTopic is not installed (the extra dev has it): only ours was measured", file=sys.stderr)
    return found


def compare_methods(question, n_seeds: int) -> dict[str, dict[str, float]]:
    """Mean seconds and scores of each method over seeds."""
    import pandas as pd

    from challenges.avalanche.baselines import bertopic
    from challenges.avalanche.discovery import discover
    from challenges.avalanche.embedding import embed
    from challenges.avalanche.evaluate import score

    usable = np.flatnonzero(question.answers["usable"])
    texts = question.answers["response"].iloc[usable].tolist()

    def with_bertopic(seed: int) -> pd.DataFrame:
        labels = bertopic(texts, seed, embed)
        return pd.DataFrame({"row": usable, "theme_id": labels})[labels >= 0]

    methods: dict[str, Callable[[int], pd.DataFrame]] = {
        "ours": lambda seed: discover(question, seed=seed, with_map=False).assignments
    }
    if find_spec("bertopic") is not None:
        with_bertopic(0)  # what it imports and compiles at its first run is not counted
        methods["bertopic"] = with_bertopic
    embed(["warm"])
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in methods}
    for seed in range(n_seeds):
        for name, method in methods.items():
            start, cpu = time.perf_counter(), time.process_time()
            assigned = method(seed)
            spent = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
            runs[name].append(spent | score(question, assigned))
    return {
        name: {metric: float(np.mean([run[metric] for run in of_method])) for metric in of_method[0]}
        for name, of_method in runs.items()
    }


if __name__ == "__main__":
    main()
