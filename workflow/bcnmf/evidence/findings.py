"""What a diagnosis comes to: findings, each with a verdict, a sentence and a remedy."""

from __future__ import annotations

from dataclasses import dataclass

# From the worst on. ok: nothing to object to; unclear: neither; none: no evidence; batch: the
# background lacks it, or a batch; fault: results cannot be relied on.
VERDICTS = ("fault", "batch", "none", "unclear", "ok")
OVERALL = "overall"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    code : str
        What was looked at, for instance "share" or "library_sizes".
    program : int
        Which program, from 1; 0 is the whole study.
    verdict : {"ok", "none", "unclear", "batch", "fault"}
        Nothing to object to; no evidence of a program; neither; the background lacks it, or a
        batch; results cannot be relied on.
    value : float
        What was measured; NaN where it could not be.
    sentence, remedy : str
        What it means, and what to do; no remedy where the verdict is "ok".
    """

    code: str
    program: int
    verdict: str
    value: float
    sentence: str
    remedy: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """What was found about a fit.

    Attributes
    ----------
    findings : list of Finding
        First that of all together (code "overall"), then those of the whole study, then those of
        the programs.
    """

    findings: list[Finding]

    @property
    def trouble(self) -> list[Finding]:
        """Findings that something is to be objected to, the worst first."""
        found = [one for one in self.findings if one.verdict != "ok" and one.code != OVERALL]
        return sorted(found, key=_rank)

    def verdict(self, program: int = 0) -> str:
        """Return the worst verdict on a program, or on the study, which is 0."""
        return min((one for one in self.findings if one.program == program), key=_rank).verdict

    def text(self) -> str:
        """Return what to tell in the terminal: all in one sentence, and what to do where."""
        lines = [self.findings[0].sentence]
        for one in self.trouble:
            lines += [f"  [{one.verdict}] {one.sentence}", f"      {one.remedy}"]
        return "\n".join(lines)


def diagnosis_of(study: list[Finding], programs: list[Finding]) -> Diagnosis:
    """Return the diagnosis that findings make up, with one sentence on all of them."""
    shares = [one for one in programs if one.code == "share"]
    spared = {one.program for one in programs if one.verdict == "ok" and one.code == "share"}
    spared -= {one.program for one in programs if one.verdict != "ok"}
    said = (
        f"{len(spared)} of {len(shares)} programs stand up to samples that no fit has seen, and "
        "nothing speaks against them"
        if spared
        else f"none of {len(shares)} programs stands up to all checks"
    )
    trouble = sorted((one for one in study if one.verdict != "ok"), key=_rank)
    if trouble:
        what = ", ".join(dict.fromkeys(_NAMES[one.code] for one in trouble))
        said += f"; what may be wrong with the study itself: {what}"
    elif spared:
        said += "; the study itself is without fault"
    verdict = trouble[0].verdict if trouble else "ok"
    if not spared:
        verdict = min((verdict, "none"), key=VERDICTS.index)
    worst = min([*trouble, *programs], key=_rank, default=None)
    remedy = "" if verdict == "ok" or worst is None else worst.remedy
    overall = Finding(OVERALL, 0, verdict, len(spared), _sentence(said), remedy)
    return Diagnosis([overall, *study, *programs])


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _rank(finding: Finding) -> int:
    return VERDICTS.index(finding.verdict)


# What a finding of the study is called in a list.
_NAMES = {
    "converged": "the fit has not settled",
    "explained": "how little is explained",
    "background_size": "few background samples",
    "left_out": "nothing could be left out",
    "units": "no or few replicates",
    "confounded": "batches on one side",
    "library_sizes": "how deep samples were measured",
    "one_sided": "features of one side alone",
    "capture": "features measured unequally",
}
