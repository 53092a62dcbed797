"""Discovery of 600, 20,000 and 200,000 answers: time of each step, and memory.

Each size runs in a process of its own, on all cores this process may use. Answers are made by the sample's grammar
with a number in each, so that every text is distinct and the encoder reads all of them: the slowest case.

    python benchmarks/avalanche.py [--sizes 600 20000 200000]
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    """Measure every size and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[600, 20_000, 200_000])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)  # this process measures one size
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one)))
        return

    from common.data.tables import write_json
    from common.inference.batch import available_cores

    results = []
    for size in options.sizes:
        command = [sys.executable, __file__, "--one", str(size)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        results.append(json.loads(done.stdout.splitlines()[-1]))
        print(
            f"{size} answers: {results[-1]['seconds']:.0f} s, of which reading {results[-1]['encoding_seconds']:.0f} s "
            f"({results[-1]['texts_per_second']:.0f} texts a second); {results[-1]['peak_mb']:.0f} MB"
        )
    write_json({"cores": available_cores(), "runs": results}, options.out)


def measure(n_answers: int) -> dict[str, float]:
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
    import tempfile

    import pandas as pd

    from challenges.avalanche.dataset import Question, load
    from challenges.avalanche.sample import write_sample

    with tempfile.TemporaryDirectory() as folder:
        question = load(write_sample(Path(folder), n_respondents=2_000)).questions[0]
    answers = question.answers[question.answers["usable"] & (question.answers["response"].str.len() < 300)]
    repeated = answers.iloc[[i % len(answers) for i in range(n_answers)]].reset_index(drop=True)
    repeated["response"] = [f"{text} {number}" for number, text in enumerate(repeated["response"])]
    return Question(question.text, repeated, pd.DataFrame(index=repeated.index))


if __name__ == "__main__":
    main()
