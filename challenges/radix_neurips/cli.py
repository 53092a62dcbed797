"""Thin: parse, call, report. Everything heavy is imported by the command that needs it."""

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zlib import crc32

import typer

from common.cli import create_app, data_or_sample, describe_data, print_summary
from common.data.tables import check_output, report_path, write_with_report
from common.errors import UserError
from common.inference.batch import Engine
from common.options import EngineOption, JsonOption
from common.service.verb import HOST, PORT, HostOption, PortOption, serve_until_stopped, set_up_by

if TYPE_CHECKING:
    from challenges.radix_neurips.dataset import Columns, Corpus
    from challenges.radix_neurips.search import Searcher

app = create_app("radix_neurips", "An abstract -> the papers most similar to it.")

REPOSITORY = Path(__file__).resolve().parents[2]
SHIPPED = REPOSITORY / "data" / "weights" / "radix_neurips"
RUNS = Path("runs/radix_neurips")

_data_or_sample = partial(data_or_sample, "challenges.radix_neurips", "neurips_papers.zip", alone=True)

DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Papers: a table (CSV, TSV, parquet or Excel), alone or in a zip or folder. "
        "Default: data/radix_neurips/official if it is there, else a generated sample.",
    ),
]
IndexOption = Annotated[
    Path | None, typer.Option("--index", help="Folder that the verb index wrote, instead of --data.")
]
ModelOption = Annotated[Path, typer.Option("--model", help="Folder of a sentence encoder.", show_default=False)]
IdColumnOption = Annotated[str | None, typer.Option("--id-column", help="Column of the paper's id.")]
TitleColumnOption = Annotated[str | None, typer.Option("--title-column", help="Column of the title.")]
AbstractColumnOption = Annotated[str | None, typer.Option("--abstract-column", help="Column of the abstract.")]
YearColumnOption = Annotated[str | None, typer.Option("--year-column", help="Column of the year.")]
KeywordsOption = Annotated[
    Path | None, typer.Option("--keywords", help="Parquet table of paper_id and keywords, the authors' own.")
]
CanonOption = Annotated[
    Path | None, typer.Option("--canon", help="Table of variant and canonical spelling of keywords, parted by a tab.")
]


@app.command()
def search(
    abstract: Annotated[
        str | None, typer.Argument(help="File with an abstract, or a title, a blank line and an abstract; - is stdin.")
    ] = None,
    paper: Annotated[
        list[str] | None,
        typer.Option("--paper", help="Id of a paper to look around instead; several: around their middle."),
    ] = None,
    k: Annotated[int, typer.Option("--k", min=1, max=1_000, help="Papers; near-duplicates do not count.")] = 10,
    first: Annotated[int | None, typer.Option("--from", help="First year.")] = None,
    last: Annotated[int | None, typer.Option("--to", help="Last year.")] = None,
    data: DataOption = None,
    index: IndexOption = None,
    model: ModelOption = SHIPPED,
    id_column: IdColumnOption = None,
    title_column: TitleColumnOption = None,
    abstract_column: AbstractColumnOption = None,
    year_column: YearColumnOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the papers as one line of JSON.")] = False,
) -> None:
    """Print the papers most similar to an abstract, each with the reason.

    The reason is what both share: phrases, and the sentence of the found abstract that is nearest to the question.
    Without abstract and paper, the first paper of the data is an example.

    Examples: [bold]search abstract.txt --data papers.csv[/bold], [bold]search --index index --paper 2020-0302[/bold]
    """
    from challenges.radix_neurips.index import Years

    text = None if abstract is None else _read_text(abstract)
    columns = _columns(id_column, title_column, abstract_column, year_column)
    if first is not None and last is not None and first > last:
        raise UserError(f"--from {first} is after --to {last}: swap them")
    searcher, _, _ = open_searcher(data, index, model, columns)
    years = Years(first, last)
    if text is None:
        found = searcher.like_papers(paper or [str(searcher.corpus.ids[0])], k, years=years)
    elif paper:
        raise UserError("give an abstract or --paper, not both")
    else:
        found = searcher.like_text(text, k, years=years)
    if as_json:
        from dataclasses import asdict

        print_summary(asdict(found), "", as_json)
    else:
        from challenges.radix_neurips.console import print_similar

        print_similar(found)


@app.command()
def batch(
    corpus: Annotated[
        Path | None, typer.Option("--corpus", help="Papers to search among, as --data of the other verbs.")
    ] = None,
    queries: Annotated[
        Path | None, typer.Option("--queries", help="Table of paper_id, title, abstract. Default: the corpus.")
    ] = None,
    k: Annotated[int, typer.Option("--k", min=1, help="Papers for each query.")] = 100,
    out: Annotated[Path, typer.Option("--out", help="Parquet file to write.")] = Path("similar.parquet"),
    model: ModelOption = SHIPPED,
    id_column: IdColumnOption = None,
    title_column: TitleColumnOption = None,
    abstract_column: AbstractColumnOption = None,
    year_column: YearColumnOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the most similar papers of many queries.

    Writes a row for every find: query_id, rank (from 1), paper_id, score (a mean of cosines: at most 1, below 0
    where nothing is alike). A query never finds the paper of its own id; without an id column the rows of --corpus
    and --queries have none in common. Beside it <out>.report.json: what was mended in the texts, rows that could not
    be used, and which finds have the query's very abstract under another id.

    Example: [bold]batch --corpus papers.csv --queries queries.csv --k 100 --out similar.parquet[/bold]
    """
    from challenges.radix_neurips.dataset import load
    from challenges.radix_neurips.lexical import load_keyphraseness
    from challenges.radix_neurips.predict import rank, tabulate
    from common.models.text import load_text_encoder

    encoder, phrases = load_text_encoder(model), load_keyphraseness(model)
    path, generated = _data_or_sample(corpus)
    columns = _columns(id_column, title_column, abstract_column, year_column)
    check_output(out, path, *([queries] if queries else []))
    papers = load(path, columns)
    # A few queries know few words, so they are mended by those of the corpus.
    asked = papers if queries is None or queries.resolve() == path.resolve() else load(queries, columns, papers.words())
    found, scores = rank(papers, asked, encoder, phrases, k)
    table, identical = tabulate(papers, asked, found, scores)
    summary: dict[str, Any] = {
        "out": out,
        "corpus": path,
        "generated_sample": generated,
        "queries": path if queries is None else queries,
        "n_papers": len(papers),
        "n_queries": len(asked),
        "n_unusable": len(papers.report["unusable"]) + (0 if queries is None else len(asked.report["unusable"])),
        "n_found": len(table),
        "encoder": encoder.fingerprint,
    }
    report = summary | {"identical_abstracts": identical, "corpus_report": papers.report}
    write_with_report(table, out, report if queries is None else report | {"queries_report": asked.report})
    text = (
        f"{out}: {found.shape[1]} papers for each of {len(asked)} queries among the {len(papers)} papers of "
        f"{describe_data(path, generated)}{_remarks(papers, summary['n_unusable'], out)}"
    )
    print_summary(summary, text, as_json)


@app.command()
def index(
    data: DataOption = None,
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")] = RUNS / "index",
    model: ModelOption = SHIPPED,
    engine: EngineOption = Engine.LOCAL,
    id_column: IdColumnOption = None,
    title_column: TitleColumnOption = None,
    abstract_column: AbstractColumnOption = None,
    year_column: YearColumnOption = None,
    as_json: JsonOption = False,
) -> None:
    """Encode the papers of a file once, so that search and serve start in a second.

    Example: [bold]index --data papers.csv --out index[/bold], then [bold]search --index index abstract.txt[/bold]
    """
    from challenges.radix_neurips.dataset import load
    from challenges.radix_neurips.indexing import build_searcher, save_searcher
    from common.artifacts import MANIFEST_NAME, fingerprint
    from common.data.tables import write_json

    path, generated = _data_or_sample(data)
    out = out.resolve()  # '.' has no name to call the report by
    check_output(out / MANIFEST_NAME)
    corpus = load(path, _columns(id_column, title_column, abstract_column, year_column))
    searcher = build_searcher(corpus, model, data_fingerprint=fingerprint([path]), engine=engine)
    save_searcher(searcher, out)
    summary: dict[str, Any] = {
        "out": out,
        "data": path,
        "generated_sample": generated,
        "n_papers": len(corpus),
        "n_unusable": len(corpus.report["unusable"]),
        "encoder": searcher.encoder.fingerprint,
    }
    write_json(summary | {"corpus_report": corpus.report}, report_path(out))
    text = (
        f"{out}: {len(corpus)} papers of {describe_data(path, generated)}{_remarks(corpus, summary['n_unusable'], out)}"
    )
    print_summary(summary, text, as_json)


@app.command()
def train(
    keywords: Annotated[Path, typer.Option("--keywords", help="Parquet table of paper_id and keywords.")],
    data: DataOption = None,
    canon: CanonOption = None,
    held_out: Annotated[
        int | None, typer.Option("--held-out", help="Year whose keywords the encoder must not learn from.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")] = RUNS / "model",
    as_json: JsonOption = False,
) -> None:
    """Adapt the encoder and the weights of terms to a field, by keywords that authors share.

    Example: [bold]train --data papers.zip --keywords keywords.parquet --out model[/bold]
    """
    from challenges.radix_neurips.dataset import load
    from challenges.radix_neurips.relevance import read_keywords
    from challenges.radix_neurips.train import train as train_encoder
    from common.artifacts import MANIFEST_NAME, fingerprint

    path, generated = _data_or_sample(data)
    check_output(out / MANIFEST_NAME)
    names = read_keywords(keywords, canon)
    encoder = train_encoder(load(path), names, out, data_fingerprint=fingerprint([path, keywords]), held_out=held_out)
    text = f"{out}: encoder {encoder.fingerprint}, adapted to {describe_data(path, generated)}"
    print_summary(
        {"out": out, "data": path, "generated_sample": generated, "encoder": encoder.fingerprint}, text, as_json
    )


@app.command()
def evaluate(
    data: DataOption = None,
    keywords: KeywordsOption = None,
    canon: CanonOption = None,
    years: Annotated[
        tuple[int, int], typer.Option("--years", help="Of the keywords to learn from, and of the papers to ask about.")
    ] = (2021, 2022),
    model: ModelOption = SHIPPED,
    out: Annotated[Path, typer.Option("--out", help="JSON file.")] = RUNS / "metrics.json",
    as_json: JsonOption = False,
) -> None:
    """Measure the ranker beside simpler ones: on papers with keywords, where given, and on generated topics.

    The encoder must not have learned from the keywords that it is asked about: give one that was trained with
    --held-out of that year.
    """
    from challenges.radix_neurips.dataset import load
    from challenges.radix_neurips.evaluate import check_unseen, headline, topic_view
    from challenges.radix_neurips.evaluate import evaluate as evaluate_ranker
    from challenges.radix_neurips.relevance import read_keywords
    from challenges.radix_neurips.sample import generate
    from common.data.tables import write_json
    from common.models.text import load_text_encoder

    path, generated = _data_or_sample(data)
    check_output(out, path, *(given for given in (keywords, canon) if given))
    plain, adapted = load_text_encoder(), load_text_encoder(model)
    metrics: dict[str, Any] = {}
    if keywords is not None:  # first, for it may be refused
        names = read_keywords(keywords, canon)
        papers = load(path)
        check_unseen(model, papers, years[1])
        metrics = evaluate_ranker(papers, load(path, mend=False), names, plain, adapted, years)
    metrics = {"topics": topic_view(generate(), plain, adapted)} | metrics
    write_json(metrics, out)
    asked = describe_data(path, generated) if keywords is not None else "generated topics (no --keywords given)"
    summary = {"out": out, "data": path, "generated_sample": generated}
    print_summary(summary | metrics, f"{out}: {asked}: {headline(metrics)}", as_json)


@app.command()
def serve(
    data: DataOption = None,
    index: IndexOption = None,
    host: HostOption = HOST,
    port: PortOption = PORT,
    model: ModelOption = SHIPPED,
    as_json: JsonOption = False,
) -> None:
    """Search over HTTP, with a page to try it on, until Ctrl-C or SIGTERM. Prints the address once it listens.

    Limits and a token are read from the environment: SERVICE_TOKEN, SERVICE_MAX_BODY_BYTES, SERVICE_QUEUE_SIZE
    and more, see common/service/settings.py.
    """
    with set_up_by("neurips-serve"):
        from challenges.radix_neurips.service import create_neurips_service
        from common.service.settings import ServiceSettings

    searcher, path, generated = open_searcher(data, index, model)
    what = f"{len(searcher.corpus)} papers of {describe_data(path, generated)} are searched"
    create = partial(create_neurips_service, searcher)
    serve_until_stopped(create, ServiceSettings, what, host=host, port=port, as_json=as_json)


def open_searcher(
    data: Path | None, index: Path | None, model: Path, columns: "Columns | None" = None
) -> "tuple[Searcher, Path, bool]":
    """Open an index, or read and encode papers, once: their index is kept for the next time."""
    from challenges.radix_neurips.indexing import build_searcher, load_searcher, save_searcher

    if index is not None:
        if data is not None:
            raise UserError("give --data or --index, not both: an index holds its papers")
        return load_searcher(index, model), index, False
    from challenges.radix_neurips.dataset import Columns, load
    from common.artifacts import fingerprint

    path, generated = _data_or_sample(data)
    columns = columns or Columns()
    names = "".join(f"{name}\n" for name in (columns.paper_id, columns.title, columns.abstract, columns.year))
    kept = RUNS / f"index-{fingerprint([path, model / 'manifest.json'])[:8]}-{crc32(names.encode()):08x}"
    with suppress(UserError):  # none yet, or one that another version of this program wrote
        return load_searcher(kept, model), path, generated
    searcher = build_searcher(load(path, columns), model, data_fingerprint=fingerprint([path]))
    with suppress(UserError):  # a folder that cannot be written to costs the next search its quick start, no more
        save_searcher(searcher, kept)
    return searcher, path, generated


def _read_text(name: str) -> str:
    """The text of a file, or of stdin."""
    import sys

    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {name}: {error.strerror}; name a file that holds an abstract") from error
    if b"\0" in data:
        raise UserError(f"{name} is no plain text in UTF-8: it has zero bytes; save the abstract as text")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _columns(paper_id: str | None, title: str | None, abstract: str | None, year: str | None) -> "Columns":
    from challenges.radix_neurips.dataset import Columns

    return Columns(paper_id, title, abstract, year)


def _remarks(papers: "Corpus", n_rows: int, out: Path) -> str:
    """What the summary says of papers, and of rows that could not be used."""
    bare = "" if "abstract" in papers.report["columns"] else "; no column was taken for abstracts (--abstract-column)"
    return bare + (f"; {n_rows} rows could not be used, see {report_path(out)}" if n_rows else "")
