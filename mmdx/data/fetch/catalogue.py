"""What ``mmdx data fetch`` can fetch: where each public data set lies, under which licence, and how its files are checked.

A checksum stands here only where the publisher gives it or the bytes were read from the publisher's own git objects. Where there is
none it is None, the user is told so, and the SHA-256 of what came is printed and kept in ``SOURCE.json``.
"""

from __future__ import annotations

from dataclasses import dataclass

from mmdx.errors import InputError

_PHYSIONET_LICENCE = "https://physionet.org/content/{}/view-license/{}/"
_ZENODO = "https://zenodo.org/records/10519652/files/{}.npz?download=1"
_YASEEN = "https://github.com/yaseen21khan/Classification-of-Heart-Sound-Signal-Using-Multiple-Features-"
_YASEEN_RAW = "https://raw.githubusercontent.com/yaseen21khan/Classification-of-Heart-Sound-Signal-Using-Multiple-Features-"
_YASEEN_COMMIT = "c4b93f1b6144d58c8213513e4aee3f3f9dc76646"
_CC_BY, _CC_BY_NC = "https://creativecommons.org/licenses/by/4.0/", "https://creativecommons.org/licenses/by-nc/4.0/"


@dataclass(frozen=True)
class Remote:
    """One file to download.

    Args:
        url: where it lies, http or https.
        kind: "zip", "tar.gz", "rar", or "plain" for a file that is kept as it is.
        size: bytes, exact or nearly so, for what the user is shown; None where not known. What is enforced is the server's length.
        checksum: "sha256:HEX", "md5:HEX" or "git:HEX" (the id of the git object) as published; None where none is.
        name: name of a plain file in the data set's folder; of an archive, what it is called in messages.
        folder: folder of the data set into which an archive is unpacked.
        strip: how many leading folders of an archive's paths are left off.
        only: unpack only what lies under these paths (after ``strip``); empty takes all.
    """

    url: str
    kind: str
    size: int | None
    checksum: str | None
    name: str
    folder: str = ""
    strip: int = 0
    only: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """One data set.

    Args:
        name: what ``mmdx data fetch`` calls it; also its folder's name.
        title: one line for people.
        licence: its name; what upstream does not say is not guessed.
        licence_url: where the licence can be read.
        source: the page that describes the data.
        remotes: the files.
        use: config keys of the line to use, without ``data.root``.
        expects: paths that must be there once unpacked, so that a changed layout is found at once.
        sums: a file of SHA-256 sums inside the data set, by which every file is checked after unpacking; empty for none.
        finish: name of a step in ``mmdx.data.fetch.finish`` that readies the unpacked files for the loader; empty for none.
        notes: what could not be verified, told to the user and kept in ``SOURCE.json``.
    """

    name: str
    title: str
    licence: str
    licence_url: str
    source: str
    remotes: tuple[Remote, ...]
    use: str
    expects: tuple[str, ...] = ()
    sums: str = ""
    finish: str = ""
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> int | None:
        """Bytes of all files, None where one is not known."""
        sizes = [remote.size for remote in self.remotes]
        return None if None in sizes else sum(size for size in sizes if size is not None)


_MEDMNIST = {  # subset: (MD5 as the package medmnist 3.0.2 publishes it, bytes of the published 28-pixel file or None)
    "pathmnist": ("a8b06965200029087d5bd730944a56c1", 206_000_000),
    "chestmnist": ("02c8a6516a18b556561a56cbdd36c4a8", 82_802_576),
    "dermamnist": ("0744692d530f8e62ec473284d019b0c7", 19_700_000),
    "octmnist": ("c68d92d5b585d8d81f7112f81e2d0842", 54_900_000),
    "pneumoniamnist": ("28209eda62fecd6e6a2d98b1501bb15f", 4_170_000),
    "retinamnist": ("bd4c0672f1bba3e3a89f0e4e876791e4", 3_290_000),
    "breastmnist": ("750601b1f35ba3300ea97c75c52ff8f6", 559_580),
    "bloodmnist": ("7053d0359d879ad8a5505303e11de1dc", 35_461_855),
    "tissuemnist": ("ebe78ee8b05294063de985d821c1c34b", None),
    "organamnist": ("68e3f8846a6bd62f0c9bf841c0d9eacc", None),
    "organcmnist": ("b9ceb9546e10131b32923c5bbeaea2b1", None),
    "organsmnist": ("9ab87b696fb54e2a387ebe992d6ed5f1", None),
}


def _medmnist(name: str, subsets: tuple[str, ...], title: str) -> Entry:
    other = "dermamnist" in subsets
    licence = "CC BY-NC 4.0" if subsets == ("dermamnist",) else "CC BY 4.0; dermamnist CC BY-NC 4.0" if other else "CC BY 4.0"
    remotes = tuple(Remote(_ZENODO.format(s), "plain", _MEDMNIST[s][1], f"md5:{_MEDMNIST[s][0]}", f"{s}.npz") for s in subsets)
    task = {"pneumoniamnist": "", "breastmnist": "", "chestmnist": " task=multilabel"}.get(subsets[0], " task=multiclass")
    use = f"data=medmnist data.subset={subsets[0]} split=given{task}"
    notes = ("The publisher gives MD5, which tells damage but not malice; no SHA-256 is published.",)
    page = "https://zenodo.org/records/10519652"
    return Entry(name, title, licence, _CC_BY_NC if subsets == ("dermamnist",) else _CC_BY, page, remotes, use, notes=notes)


def _yaseen() -> Entry:
    parts = {  # file name in the repository: (checksum, bytes), read from the git objects of the commit; AS as its object's id alone
        "AS": ("git:415f7ae3836459e833b8e67973087d7901f5003a", None),
        "MR": ("sha256:5675607923b67c9025b18e50e38d0514f0ed40e08c1d83dbf3b15acdd80c125a", 3_712_796),
        "MS": ("sha256:17056eeb7657fdaed8b261eab5b92d16b9d73fa02f74c931fa379911494df681", 3_912_635),
        "MVP": ("sha256:545e44311f20aec5fde355a22546399212af3314fdc184d262b35a3e541fc2db", 3_978_356),
        "N": ("sha256:e1835173f3e8c34e36cb26faa2dc129fa0dd4655bb52b67b7d6f92a5245ff68c", 2_976_955),
    }
    tail = "_New_3%EC%A3%BC%EA%B8%B0.rar"
    remotes = tuple(
        Remote(f"{_YASEEN_RAW}/{_YASEEN_COMMIT}/{part}{tail}", "rar", size, checksum, f"{part}.rar", folder=part, strip=1)
        for part, (checksum, size) in parts.items()
    )
    return Entry(
        "yaseen2018",
        "1,000 heart sounds in five classes (Yaseen, Son and Kwon 2018, Appl Sci 8:2344)",
        "none stated: the repository has no licence file, so use beyond what the law allows needs the authors' leave",
        _YASEEN,
        _YASEEN,
        remotes,
        "data=yaseen2018",
        expects=tuple(parts),
        notes=("Upstream packs RAR: unpacking needs the package rarfile and one of unrar, bsdtar, unar or 7z.",),
    )


ENTRIES: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(
            "physionet2016",
            "PhysioNet/CinC Challenge 2016: heart sounds, normal or abnormal (Liu et al. 2016)",
            "ODC-By 1.0",
            _PHYSIONET_LICENCE.format("challenge-2016", "1.0.0"),
            "https://physionet.org/content/challenge-2016/1.0.0/",
            (Remote("https://physionet.org/files/challenge-2016/1.0.0/training.zip", "zip", 181_000_000, None, "training.zip"),),
            "data=physionet2016",
            expects=tuple(f"training-{letter}/REFERENCE.csv" for letter in "abcdef"),
            notes=("No checksum of training.zip could be verified, and its size is as others report it.",),
        ),
        Entry(
            "circor2022",
            "CirCor DigiScope 1.0.3: heart sounds of 942 children at up to four sites of the chest (Oliveira et al. 2022)",
            "ODC-By 1.0",
            _PHYSIONET_LICENCE.format("circor-heart-sound", "1.0.3"),
            "https://physionet.org/content/circor-heart-sound/1.0.3/",
            (
                Remote(
                    "https://physionet.org/content/circor-heart-sound/get-zip/1.0.3/", "zip", 471_283_852, None, "circor.zip", strip=1
                ),
            ),
            "data=circor2022",
            expects=("training_data.csv", "training_data"),
            sums="SHA256SUMS.txt",
            notes=(
                "No checksum of the archive is published; every file in it is checked by the SHA256SUMS.txt that comes along.",
                "The archive's size is as others report it.",
            ),
        ),
        _yaseen(),
        Entry(
            "covid_cxr",
            "COVID-19 image data collection: chest X-rays with clinical notes (Cohen et al. 2020)",
            "by image, see the column license of metadata.csv (Apache 2.0, CC BY-NC-SA 4.0, CC BY 4.0, others, or none); texts CC BY-NC-SA 4.0",
            "https://github.com/ieee8023/covid-chestxray-dataset",
            "https://github.com/ieee8023/covid-chestxray-dataset",
            (
                Remote(
                    "https://github.com/ieee8023/covid-chestxray-dataset/archive/refs/heads/master.zip",
                    "zip",
                    None,
                    None,
                    "covid-chestxray-dataset.zip",
                    strip=1,
                    only=("metadata.csv", "images", "README.md", "SCHEMA.md"),
                ),
            ),
            "data=covid_cxr",
            expects=("metadata.csv", "images"),
            notes=(
                "GitHub packs this archive anew on demand and promises no checksum or size for it; expect some hundred MB.",
                "It is the collection as it stands today, with more rows than the 311 that the data card describes.",
            ),
        ),
        Entry(
            "openi_reports",
            "Indiana University chest X-ray collection (Open-i): the reports (Demner-Fushman et al. 2016)",
            "CC BY-NC-ND 4.0",
            "https://creativecommons.org/licenses/by-nc-nd/4.0/",
            "https://openi.nlm.nih.gov/faq",
            (Remote("https://openi.nlm.nih.gov/imgs/collections/NLMCXR_reports.tgz", "tar.gz", None, None, "NLMCXR_reports.tgz"),),
            "data=openi_reports",
            expects=("ecgen-radiology",),
            finish="openi_table",
            notes=("No checksum or size is published.",),
        ),
        Entry(
            "openi_images",
            "Indiana University chest X-ray collection (Open-i): reports and the 7,470 images as PNG",
            "CC BY-NC-ND 4.0",
            "https://creativecommons.org/licenses/by-nc-nd/4.0/",
            "https://openi.nlm.nih.gov/faq",
            (
                Remote("https://openi.nlm.nih.gov/imgs/collections/NLMCXR_reports.tgz", "tar.gz", None, None, "NLMCXR_reports.tgz"),
                Remote("https://openi.nlm.nih.gov/imgs/collections/NLMCXR_png.tgz", "tar.gz", None, None, "NLMCXR_png.tgz", "images"),
            ),
            "data=openi",
            expects=("ecgen-radiology", "images"),
            finish="openi_table",
            notes=("No checksum or size is published.",),
        ),
        _medmnist("medmnist", tuple(_MEDMNIST), "MedMNIST v2, all twelve 2-D sets at 28 pixels (Yang et al. 2023)"),
        *(_medmnist(subset, (subset,), f"MedMNIST v2: {subset} alone, at 28 pixels (Yang et al. 2023)") for subset in _MEDMNIST),
    )
}


def find(name: str) -> Entry:
    """The entry of that name.

    Raises:
        InputError: where there is none.
    """
    if name not in ENTRIES:
        raise InputError(f"{name}: no such data set to fetch. There are: {', '.join(ENTRIES)}.")
    return ENTRIES[name]


def shown_size(size: int | None) -> str:
    """Bytes for people: "181 MB", or "size not published"."""
    if size is None:
        return "size not published"
    for unit, step in (("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)):
        if size >= step:
            return f"{size / step:.3g} {unit}"
    return f"{size} bytes"
