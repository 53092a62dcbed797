"""The embedded default: made-up films, their synopses from a grammar of genres, their posters drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from challenges.radix_movies.dataset import Film, write_layout
from challenges.radix_movies.drawing import draw_poster
from challenges.radix_movies.layout import GENRES
from common.cli import progress
from common.data.images import encode_jpeg


class Words(NamedTuple):
    """What a genre puts into a synopsis: each film takes one of each."""

    who: Sequence[str]
    does: Sequence[str]
    where: Sequence[str]
    twist: Sequence[str]
    title: Sequence[str]


GRAMMAR: Final[dict[str, Words]] = {
    "Action": Words(
        ["a former commando", "an elite bodyguard", "a retired stunt driver"],
        ["must fight through an army of mercenaries", "races to stop a bomb", "hunts the men who betrayed him"],
        ["on a hijacked train", "in a burning skyscraper", "across a city under siege"],
        ["Explosions follow wherever he goes.", "The only way out is through a hail of bullets."],
        ["Impact", "Full Throttle", "Last Bullet"],
    ),
    "Adventure": Words(
        ["a young explorer", "a treasure hunter", "a shipwrecked sailor"],
        ["sets out to find a lost city", "follows an ancient map", "joins a daring expedition"],
        ["deep in the jungle", "beyond the edge of the known world", "on an uncharted island"],
        ["The journey will test them all.", "A rival is on the same trail."],
        ["Lost Island", "The Golden Map", "Beyond the Sea"],
    ),
    "Animation": Words(
        ["a talking squirrel", "a clumsy little robot", "a toy that came to life"],
        ["dreams of leaving the forest", "learns to fly", "befriends a lonely dragon"],
        ["in a world of colourful creatures", "in a toy shop at night", "in an enchanted garden"],
        ["With his animal friends he finds out what courage is.", "Together the critters save their home."],
        ["Nutty", "Tin Heart", "Tiny Wings"],
    ),
    "Comedy": Words(
        ["a hopeless slacker", "a wedding planner", "a bumbling salesman"],
        ["pretends to be a doctor", "gets into one hilarious mess after another", "crashes his boss's party"],
        ["at a disastrous family reunion", "in a small-town school", "at a resort full of eccentric guests"],
        ["Chaos and hilarity ensue.", "Nothing goes as planned."],
        ["Best Mess Ever", "Oops", "My Boss and Me"],
    ),
    "Crime": Words(
        ["a small-time gangster", "an undercover cop", "a gang of bank robbers"],
        ["plans one last heist", "is drawn into the drug trade", "infiltrates the mafia"],
        ["in the underworld of Chicago", "in a corrupt city", "on the docks"],
        ["The police are closing in.", "Someone in the gang is an informer."],
        ["The Heist", "Dirty Money", "City of Thieves"],
    ),
    "Documentary": Words(
        ["this documentary", "a film crew", "an acclaimed photographer"],
        ["follows the lives of real people", "explores the story behind the headlines", "examines an industry"],
        ["through interviews and archive footage", "across five continents", "over the course of ten years"],
        ["Experts and eyewitnesses speak for the first time.", "It is an intimate look at a true story."],
        ["Inside", "The Real Story", "Witness"],
    ),
    "Drama": Words(
        ["a grieving mother", "an ageing teacher", "an estranged son"],
        ["struggles with the loss of a child", "comes to terms with the past", "must care for a dying father"],
        ["in a quiet town", "on the family farm", "in the suburbs of Boston"],
        ["Old wounds and family secrets come to light.", "A moving portrait of forgiveness."],
        ["Still Water", "What Remains", "The Long Winter"],
    ),
    "Family": Words(
        ["a boy with a scruffy dog", "a curious kid", "a brave little girl"],
        ["discovers a secret playground", "saves the school", "learns the meaning of friendship"],
        ["during the summer holidays", "at their grandmother's house", "at Christmas"],
        ["Parents and children will never forget it.", "Even the grown-ups begin to believe."],
        ["My Dog Max", "The Tree House", "Christmas Wish"],
    ),
    "Fantasy": Words(
        ["a young wizard", "an orphaned princess", "a reluctant knight"],
        ["must break an ancient curse", "inherits magical powers", "seeks an enchanted sword"],
        ["in a kingdom of elves and dragons", "in a realm behind the mirror", "in a magical forest"],
        ["A dark sorcerer stands in the way.", "The prophecy is about to come true."],
        ["The Enchanted Crown", "Spellbound", "Dragon Moon"],
    ),
    "History": Words(
        ["a young queen", "a forgotten statesman", "a slave who became a leader"],
        ["changes the course of history", "leads a revolution", "fights for the throne"],
        ["in eighteenth-century France", "in ancient Rome", "in Tudor England"],
        ["Based on true historical events.", "The empire will never be the same."],
        ["The Crown of France", "Emperor", "1789"],
    ),
    "Horror": Words(
        ["a group of teenagers", "a young nurse", "a family"],
        ["is terrorised by a demonic presence", "awakens a bloodthirsty creature", "is haunted by a vengeful ghost"],
        ["in an abandoned asylum", "in a cabin in the woods", "in an old haunted house"],
        ["One by one they die a gruesome death.", "The dead do not rest."],
        ["The Cellar", "Bloodmoon", "It Waits"],
    ),
    "Music": Words(
        ["a struggling singer", "a teenage rock band", "a jazz pianist"],
        [
            "dreams of a record deal",
            "prepares for the concert of a lifetime",
            "writes the song of her life",
        ],
        ["on tour with the band", "in the clubs of New Orleans", "at a music academy"],
        ["The songs carry them through.", "On stage everything falls into place."],
        ["Encore", "Blue Notes", "The Band"],
    ),
    "Mystery": Words(
        ["a private investigator", "a crime novelist", "a woman without memory"],
        ["uncovers clues to an old disappearance", "investigates a strange death", "follows a cryptic letter"],
        ["in a mansion cut off by snow", "in a foggy harbour town", "in a hotel with a secret"],
        ["Nobody is who they seem.", "The truth is stranger than anyone suspects."],
        ["The Missing Guest", "Room 12", "Fogbound"],
    ),
    "Romance": Words(
        ["a lonely florist", "a young writer", "a bride-to-be"],
        ["falls in love with a stranger", "meets her first love again", "must choose between two men"],
        ["in Paris", "during one unforgettable summer", "at a wedding by the sea"],
        ["Will love find a way?", "Neither of them had expected to lose their heart."],
        ["Love in Paris", "Second Kiss", "Always You"],
    ),
    "Science Fiction": Words(
        ["an astronaut", "a scientist", "the crew of a spaceship"],
        ["makes contact with an alien intelligence", "travels through time", "discovers that androids have rebelled"],
        ["on a distant planet", "aboard a space station", "in the year 2140"],
        ["The future of humanity is at stake.", "The aliens are already among us."],
        ["Orbit", "Signal 9", "The Android"],
    ),
    "Thriller": Words(
        ["a police negotiator", "a woman on the run", "an ordinary accountant"],
        ["is drawn into a deadly conspiracy", "is stalked by a psychopath", "has twelve hours to find a kidnapper"],
        ["in a city where nobody can be trusted", "in an isolated house", "on a night flight"],
        ["Time is running out.", "The killer knows her name."],
        ["Twelve Hours", "Watched", "The Hostage"],
    ),
    "War": Words(
        ["a platoon of young soldiers", "a battle-weary sergeant", "a nurse at the front"],
        ["is sent behind enemy lines", "must hold a bridge", "survives the siege"],
        ["in Normandy in 1944", "in the trenches of the First World War", "in Vietnam"],
        ["Not all of the men will come home from the battle.", "The war leaves nobody untouched."],
        ["The Last Platoon", "No Man's Land", "Bridge at Dawn"],
    ),
    "Western": Words(
        ["a lonesome gunslinger", "a weary sheriff", "a rancher's widow"],
        ["rides into town for revenge", "faces an outlaw gang", "defends her land"],
        ["on the frontier", "in the Arizona desert", "in a lawless mining town"],
        ["It comes to a shootout at high noon.", "The cowboys draw."],
        ["High Ridge", "Dust", "The Sheriff"],
    ),
}
"""Of each genre the words that its films are told in."""
_COMPANIONS: Final = {
    "Action": "Thriller Adventure Crime", "Adventure": "Fantasy Family Action", "Animation": "Family Comedy",
    "Comedy": "Romance Family", "Crime": "Drama Thriller", "Documentary": "Music History", "Drama": "Romance History",
    "Family": "Animation Comedy", "Fantasy": "Adventure Family", "History": "Drama War", "Horror": "Thriller Mystery",
    "Music": "Drama Documentary", "Mystery": "Thriller Crime", "Romance": "Comedy Drama",
    "Science Fiction": "Action Horror", "Thriller": "Crime Mystery", "War": "History Drama", "Western": "Action Drama",
}  # fmt: skip


def make_film(rng: np.random.Generator, genres: Sequence[str], movie_id: str) -> Film:
    """A film of `genres`: its first gives the hero and the title, all have a say in the plot."""
    first = GRAMMAR[genres[0]]
    parts = [GRAMMAR[genre] for genre in genres]

    def pick(words: Sequence[str]) -> str:
        return str(words[int(rng.integers(len(words)))])

    plot = f"{pick(first.who)} {pick(parts[-1].does)} {pick(first.where)}."
    twists = " ".join(pick(part.twist) for part in parts)
    title = pick(first.title) + ("" if rng.random() < 0.5 else f" {pick(['Returns', 'Rising', 'Forever', 'Tonight'])}")
    synopsis = f"{plot[0].upper()}{plot[1:]} {twists}"
    return Film(movie_id, title, synopsis, int(rng.integers(1980, 2026)), frozenset(genres))


def draw_genres(rng: np.random.Generator, first: str) -> list[str]:
    """One to three genres that go together, `first` the first."""
    companions = _COMPANIONS[first].split()
    n_more = int(rng.choice(3, p=[0.3, 0.5, 0.2]))
    return [first, *rng.permutation(companions)[:n_more].tolist()]


def write_sample(out: Path, n_films: int = 180, seed: int = 0) -> Path:
    """Write made-up films in the official layout, the same for one seed.

    `movies_dataset.csv` and `movie_posters.zip`. Among the films are some with one modality only: without a poster,
    with a poster cut off in the middle, without a synopsis and with a French one.

    Raises:
        UserError: the folder cannot be written.
    """
    rng = np.random.default_rng(seed)
    films: list[Film] = []
    posters: dict[str, bytes] = {}
    with progress("drawing posters", n_films) as advance:
        for number in range(n_films):
            genres = draw_genres(rng, GENRES[number % len(GENRES)])
            film = make_film(rng, genres, f"tt{9_000_000 + number}")
            films.append(film)
            posters[film.movie_id] = encode_jpeg(draw_poster(rng, genres, film.title), int(rng.integers(75, 95)))
            advance()
    _spoil(films, posters)
    write_layout(out, films, posters)
    return out


FRENCH: Final = (
    "Une jeune femme rencontre un homme mystérieux qui change sa vie pendant un long voyage à travers la nuit."
)


def _spoil(films: list[Film], posters: dict[str, bytes]) -> None:
    """Give every tenth film or so a flaw that real data have."""
    for number in range(7, len(films), 40):
        del posters[films[number].movie_id]
    for number in range(17, len(films), 60):
        posters[films[number].movie_id] = posters[films[number].movie_id][:900]
    for number in range(11, len(films), 50):
        films[number] = replace(films[number], synopsis="")
    for number in range(31, len(films), 90):
        films[number] = replace(films[number], synopsis=FRENCH)
