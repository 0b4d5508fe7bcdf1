"""Files of the registry: which of them can be had here, and what they have to be."""


def part_of(dataset: str, part: str):
    """Return an input function: the file of a registered part that can be had here."""

    def choose(wildcards):
        try:
            entry = REGISTRY.choose(dataset, part, Path(DOWNLOADS), MIRROR)
        except InputError as error:
            raise WorkflowError(str(error)) from None
        return f"resources/downloads/{dataset}/{entry.file}"

    return choose


def mnist_files(wildcards) -> dict:
    """Return the files of MNIST that a configuration asks for, images and labels pair by pair."""
    wanted = plan_of(wildcards).settings["mnist"]["sets"]
    places = [DOWNLOADS, MIRROR] if local_folder(MIRROR) else []
    there = [REGISTRY.at_hand("mnist", f"{name}_images", *places) for name in ("train", "test")]
    test_alone = wanted == "test" or (wanted == "auto" and there == [False, True])
    names = ["test"] if test_alone else ["train", "test"]
    return {
        kind: [part_of("mnist", f"{name}_{kind}")(wildcards) for name in names]
        for kind in ("images", "labels")
    }


def registered(wildcards) -> dict:
    """Return size and checksum of a registered file."""
    try:
        entry = REGISTRY.entry(wildcards.dataset, wildcards.file)
    except InputError as error:
        raise WorkflowError(str(error)) from None
    return {"bytes": entry.bytes, "sha256": entry.sha256}


def absent() -> list[str]:
    """Return the data sets of the registry of which no file is here."""
    places = [DOWNLOADS, MIRROR] if local_folder(MIRROR) else [DOWNLOADS]
    here = {
        entry.dataset
        for entry in REGISTRY.entries
        if REGISTRY.at_hand(entry.dataset, entry.part, *places)
    }
    return sorted({entry.dataset for entry in REGISTRY.entries} - here)
