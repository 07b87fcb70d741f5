"""The longest context for which a model fits: as its parts are placed, and in any place."""

from __future__ import annotations

from dataclasses import dataclass

from .placement import Placement
from .plan import COMFORTABLE
from .search import Search, Tried
from .steps import CELLS_STEP
from .workload import Workload


@dataclass(frozen=True, slots=True)
class LongestContext:
    """Looks for it, by asking the search what contexts take."""

    search: Search

    def _anywhere(self, workload: Workload, context: int) -> tuple[Tried | None, int]:
        """A placement that fits, of those that `best` looks at, the first one found; or by how many bytes the one that
        comes nearest is too large."""
        model, missing = self.search.model, []

        def fits(tried: Tried) -> Tried | None:
            missing.append(self._missing(tried))
            return tried if tried.share <= 1 else None

        if found := fits(self.search.try_at(self.search.alone, workload, context)):
            return found, 0
        if not self.search.is_possible(workload, context, 1.0):
            caches = sum(model.cache_bytes(workload, model.step(workload, context)))
            return None, model.weights.least_bytes + caches - self.search.everything
        # Most devices hold most.
        for devices in reversed(self.search.device_sets()):
            if found := fits(self.search.try_spread(devices, 0, 0, workload, context)):
                return found, 0
            # Of several, more that stays in main memory may be shared out better.
            for share in (1.0,) if len(devices) < 2 else (1.0, COMFORTABLE):
                for placement in self.search.in_parts(devices, workload, context, share):
                    if found := fits(self.search.try_at(placement, workload, context)):
                        return found, 0
        return None, min(missing)

    def _missing(self, tried: Tried) -> int:
        """By how many bytes budgets are too small."""
        if not tried.needs:
            return self.search.everything
        over, shared = 0, 0
        for need in tried.needs:
            if need.index is None or need.index in self.search.budget.unified:
                shared += need.memory.total
            else:
                over += max(0, need.memory.total - self.search.budget.devices[need.index])
        return over + max(0, shared - (self.search.budget.host or 0))

    def in_any_place(self, tried: Tried, as_placed: int | None, workload: Workload) -> int | None:
        """The longest context for which any placement fits, where `as_placed` is the longest for this one.

        Where another is found, its own longest context is found by `as_placed`; the next step tells whether yet another
        holds more. What is free, or missing, over what a step takes tells where to look.
        """
        most = self.search.model.facts.context_length or 8192
        asked = workload.context_tokens or 0
        known, highest = (asked, most) if tried.share <= 1 else (0, min(asked, most))
        if highest == most and self._anywhere(workload, most)[0]:
            return most
        if as_placed and self._finds(tried.placement, workload, as_placed):
            known = max(known, min(as_placed, highest - 1))
        low, highest = min(known, most) // CELLS_STEP, -(-highest // CELLS_STEP)
        high, placement = highest, tried.placement
        a_step = (self._total(placement, workload, most) - self._total(placement, workload, CELLS_STEP)) / highest
        free = self.search.everything - self._total(placement, workload, max(1, low) * CELLS_STEP)
        guess, was_next = low + int(free / max(1.0, a_step)), False
        while high - low > 1:
            guess = min(max(guess, low + 1), high - 1)
            is_next = guess == low + 1
            found, missing = self._anywhere(workload, guess * CELLS_STEP)
            if found is None:
                high = guess
                guess = high - max(1, -int(-missing // max(1.0, a_step)))
                continue
            longest = self.as_placed(found.placement, workload, guess * CELLS_STEP, found.share) or 0
            low = guess
            if self._finds(found.placement, workload, longest):
                low = max(low, longest // CELLS_STEP)
            if high == highest:
                free = self.search.everything - self._total(found.placement, workload, low * CELLS_STEP)
                guess = low + int(free / max(1.0, a_step))
            else:
                # Mostly nothing more fits.
                guess = (low + high) // 2 if is_next and was_next else low + 1
            was_next = is_next
        return low * CELLS_STEP or None

    def _finds(self, placement: Placement, workload: Workload, context: int) -> bool:
        """Whether the search finds what fits there, as it does where layers are not shared out by their caches too."""
        return len(placement.devices) < 2 or self._anywhere(workload, context)[0] is not None

    def _total(self, placement: Placement, workload: Workload, context: int) -> int:
        """Bytes of all places together."""
        return sum(need.memory.total for need in self.search.needs(placement, workload, context))

    def as_placed(self, placement: Placement, workload: Workload, context: int, share: float) -> int | None:
        """The longest context that fits so placed, of which is known what share is taken at one context. The need
        grows with it, nearly in a straight line, so the line through what fits and what does not tells where to look
        next."""
        most = self.search.model.facts.context_length or 8192
        highest = -(-most // CELLS_STEP)

        def over(context: int) -> float:
            return self.search.try_at(placement, workload, context).share - 1

        at_most = share - 1 if context == most else over(most)
        if at_most <= 0:
            return most
        high, above = highest, at_most
        if share <= 1 and CELLS_STEP <= context < most:
            low, below = context // CELLS_STEP, share - 1
        else:
            least = min(CELLS_STEP, most)
            low, below = least // CELLS_STEP, over(least)
            if below > 0:
                return None
            if context < most and context % CELLS_STEP == 0:
                high, above = context // CELLS_STEP, share - 1
        while high - low > 1:
            guess = low + int((high - low) * below / (below - above))
            guess = min(max(guess, low + 1), high - 1)
            found = over(guess * CELLS_STEP)
            if found <= 0:
                # Often the line is exact: then the next step no longer fits.
                if guess + 1 < high and (next_one := over((guess + 1) * CELLS_STEP)) > 0:
                    return guess * CELLS_STEP
                low, below = (guess, found) if guess + 1 >= high else (guess + 1, next_one)
            else:
                high, above = guess, found
        return low * CELLS_STEP
