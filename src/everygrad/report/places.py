"""Where on the page the verdict and each finding speak of: the links from the top."""

from dataclasses import dataclass
from typing import final

from everygrad.diagnose import Finding
from everygrad.report.picture import both_ends
from everygrad.report.record import Report
from everygrad.report.time_record import LayerInTime
from everygrad.report.time_sections import MOST_LAYERS
from everygrad.report.words import clean

DRAWN_STRIPS = 16
"""Layers whose units are drawn: the first and the last."""

Link = tuple[str, str]
"""The id of an element of the page, and what is to be seen there."""


@final
@dataclass(frozen=True, slots=True)
class Place:
    """One network on the page: its place among those shown, and whether it is one of several."""

    report: Report
    at: int
    several: bool

    def section(self, key: str, words: str) -> Link:
        """A whole section about this network."""
        return (f"n{self.at}-{key}" if self.several else key), words

    def inside(self, key: str, name: str, words: str) -> Link:
        """A figure of that section."""
        return (f"n{self.at}-{key}-{name}" if self.several else name), words

    def verdict(self) -> Link:
        """What the headline speaks of: that of the worst finding, or of a network where nothing is wrong."""
        if self.report.verdict.level != "ok":
            return self.finding(self.report.verdict.findings[0])
        if len(self.report.time) == 1:
            return self._in_time(self.report.time[0], "dies", "the gradient over the steps")
        if self.report.time:
            return "time", "the gradient over the steps"
        if len(self.report.flow) > 1:
            return self.section("flow", "the gradient from layer to layer")
        return self.gradients()

    def others(self) -> list[Link]:
        """What the findings that are not the headline speak of, in their order."""
        found = self.report.verdict.findings
        return [self.finding(one) for one in (found if self.report.verdict.level == "ok" else found[1:])]

    def gradients(self) -> Link:
        """The table of all gradients."""
        return self.section("gradients", "all gradients")

    def finding(self, found: Finding) -> Link:
        """The picture of what was found, the nearest table if there is none."""
        layer = next((one for one in self.report.time if found.layer and one.label == found.layer), None)
        if layer is not None:
            return self._over_time(found, layer)
        if found.kind in ("dead", "saturated") and found.where in (names := [one.name for one in self.report.layers]):
            shown = both_ends(list(range(len(names))), DRAWN_STRIPS)
            place = names.index(found.where)
            if place not in shown:
                return self.section("units", "the units of all layers")
            return self.inside("units", f"unit-{shown.index(place)}", f"the units of {clean(found.where, 30)}")
        if found.kind in ("vanishing", "exploding") and len(self.report.flow) > 1:
            return self.section("flow", "the gradient from layer to layer")
        if found.kind in ("huge loss", "small loss"):
            return self.section("training", "the training") if self.report.history else self.section("run", "the loss")
        return self._quantity(found.where)

    def _quantity(self, name: str) -> Link:
        maps, weights = ([one.name for one in shown] for shown in (self.report.maps, self.report.weights))
        if name in maps:
            return self.inside("maps", f"map-{maps.index(name)}", f"{clean(name, 30)} by unit and sample")
        if name in weights:
            return self.inside("weights", f"weight-{weights.index(name)}", f"the matrix {clean(name, 30)}")
        return self.gradients()

    def _over_time(self, found: Finding, layer: LayerInTime) -> Link:
        name = clean(layer.label, 30)
        series = next((s for s in layer.series if s.name == found.where), None)
        if found.kind in ("dead", "saturated") and series is not None and series.kind == "gate":
            return self._in_time(layer, "gates", f"the gates of {name}")
        if found.kind in ("dead", "saturated") and series is not None and series.slope is not None:
            return self._in_time(layer, "slopes", f"the slopes of {name}")
        if found.kind in ("dead", "saturated", "not finite"):
            return self._in_time(layer, "numbers", f"the numbers of {name}")
        return self._in_time(layer, "dies", f"the gradient over the steps of {name}")

    def _in_time(self, layer: LayerInTime, figure: str, words: str) -> Link:
        """A figure among those of all recurrent layers, which stand in a section of their own."""
        shown = both_ends(list(self.report.time), MOST_LAYERS)
        drawn = next((j for j, one in enumerate(shown) if one is layer), None)
        return ("time" if drawn is None else f"t{self.at}-{drawn}-{figure}"), words
