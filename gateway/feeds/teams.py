"""Who plays in the simulated sports: all invented."""

from __future__ import annotations

from random import Random

_TOWNS = (
    "Alderbrook", "Ashcombe", "Brackwater", "Calder Vale", "Dunmere", "Eastholm", "Fernleigh",
    "Garrowby", "Harrowgate Moor", "Ivelstone", "Kestrel Bay", "Larkhill", "Marrowby", "Northwick",
    "Oakhaven", "Penhallow", "Quillford", "Ravensmoor", "Saltmarsh", "Thornbury Cross",
    "Umberleigh", "Vexford", "Westering", "Yarrowdale",
)  # fmt: skip
_FOOTBALL = ("Athletic", "Borough", "City", "Rovers", "Town", "United", "Wanderers")
_CITIES = (
    "Cedar Falls", "Copperton", "Driftwood", "Ember City", "Fort Linden", "Granite Bay",
    "High Mesa", "Juniper Springs", "Lakemont", "Mill River", "New Carrick", "Pine Harbor",
    "Red Canyon", "Silver Creek", "Stonebridge", "Windmere",
)  # fmt: skip
_NICKNAMES = (
    "Barracudas", "Bisons", "Comets", "Condors", "Foxes", "Geysers", "Herons", "Ironclads",
    "Lanterns", "Mustangs", "Otters", "Pilots", "Sentinels", "Thunderheads", "Voyagers", "Wolves",
)  # fmt: skip
_GIVEN = (
    "A.", "B.", "C.", "D.", "E.", "F.", "G.", "H.", "J.", "K.", "L.", "M.", "N.", "P.", "R.", "S.",
)  # fmt: skip
_FAMILY = (
    "Abernethy", "Bellandi", "Castellane", "Dvorska", "Eklund", "Fontaneau", "Grzyb", "Halvorsen",
    "Ibarrola", "Jankauskas", "Kerrigan", "Lindqvist", "Marchetto", "Novotna", "Oyelaran",
    "Petrosian", "Quintela", "Rasmusson", "Szabados", "Tanigawa", "Ullmann", "Vasconcelo",
    "Wetherby", "Zielinska",
)  # fmt: skip
_HORSES = (
    ("Amber", "Bold", "Copper", "Distant", "Emerald", "Flying", "Gallant", "Hidden", "Iron",
     "Jolly", "Lucky", "Midnight", "Noble", "Quiet", "Royal", "Silver", "Velvet", "Wild"),
    ("Arrow", "Beacon", "Chapel", "Dancer", "Echo", "Falcon", "Harvest", "Jester", "Kestrel",
     "Lantern", "Meadow", "Parade", "Reverie", "Sonata", "Tempest", "Thistle", "Voyage", "Whisper"),
)  # fmt: skip
_COURSES = ("Brackwater", "Dunmere Park", "Hallow Downs", "Kestrel Bay", "Stag Heath", "Wynbeck")


def football(rng: Random) -> tuple[str, str]:
    home, away = rng.sample(_TOWNS, 2)
    return f"{home} {rng.choice(_FOOTBALL)}", f"{away} {rng.choice(_FOOTBALL)}"


def franchises(rng: Random) -> tuple[str, str]:
    (home, away), (first, second) = rng.sample(_CITIES, 2), rng.sample(_NICKNAMES, 2)
    return f"{home} {first}", f"{away} {second}"


def tennis(rng: Random) -> tuple[str, str]:
    home, away = rng.sample(_FAMILY, 2)
    return f"{rng.choice(_GIVEN)} {home}", f"{rng.choice(_GIVEN)} {away}"


def horses(rng: Random, runners: int) -> list[str]:
    first, second = _HORSES
    names = zip(rng.sample(first, runners), rng.sample(second, runners), strict=True)
    return [" ".join(name) for name in names]


def course(rng: Random) -> str:
    return rng.choice(_COURSES)
