"""Photo files found by the stem that a table gives."""

from common.data.stems import index_by_stem, rivals_by_stem


def test_index_by_stem_prefers_images() -> None:
    names = ["data/a.txt", "data/a.jpeg", "data/b.PNG", "data/sub/c.csv", "c.csv", "d", "a.webp", "x.tar.gz"]
    assert index_by_stem(names) == {
        "a": "a.webp",
        "b": "data/b.PNG",
        "c": "c.csv",
        "d": "d",
        "x.tar": "x.tar.gz",
    }


def test_rivals_are_the_images_that_are_passed_over() -> None:
    names = ["a/x.jpg", "b/x.jpg", "b/x.png", "x.txt", "y.jpg", "y.txt"]
    assert rivals_by_stem(names) == {"x": ["b/x.jpg", "b/x.png"]}
