"""Logistic regression on hashed word and character n-grams: a text classifier without a vocabulary.

    p(y = 1 | text) = sigmoid( w . x(text) + b ),   x = (1 + log count) of each hashed n-gram, scaled to length 1

    loss = sum_i c_i log(1 + exp(-s_i (w . x_i + b))) / sum_i c_i + penalty/2 |w|^2

with class weights c that make both classes count alike. The loss is convex, so the result depends on the data alone.
Hashing as in Weinberger et al. 2009, without signs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from zlib import crc32

if TYPE_CHECKING:
    import numpy as np

BITS = 18
"""2^18 places; with some 10^5 distinct n-grams, few share one."""
LETTERS = (3, 4, 5)


def ngrams(text: str) -> list[str]:
    """Words, pairs of words, and 3 to 5 letters of each word with its borders."""
    words = text.split()
    found = [f"w{word}" for word in words] + [f"b{one} {other}" for one, other in pairwise(words)]
    for word in words:
        marked = f"<{word}>"
        found += [f"c{marked[i : i + n]}" for n in LETTERS for i in range(len(marked) - n + 1)]
    return found


def features(texts: Sequence[str]) -> Any:
    """[N, 2^BITS] sparse, rows of length 1; a text without words is a row of zeros."""
    import numpy as np
    from scipy.sparse import csr_matrix

    places: list[int] = []
    values: list[Any] = []
    ends = [0]
    for text in texts:
        counts = Counter(crc32(gram.encode()) & ((1 << BITS) - 1) for gram in ngrams(text))
        row = 1 + np.log(np.array(list(counts.values()), float))
        places += counts
        values.append(row / np.sqrt(np.sum(row**2)) if len(row) else row)
        ends.append(len(places))
    data = np.concatenate(values) if values else np.empty(0)
    return csr_matrix((data, places, ends), shape=(len(texts), 1 << BITS))


@dataclass(frozen=True)
class Logistic:
    """A trained classifier."""

    weight: np.ndarray[Any, Any]
    """[2^BITS]"""
    bias: float

    def probabilities(self, x: Any) -> np.ndarray[Any, Any]:
        """[N] the probability of class 1 of each row of `features`."""
        from scipy.special import expit

        found: np.ndarray[Any, Any] = expit(x @ self.weight + self.bias)
        return found


def train(x: Any, labels: Any, penalty: float) -> Logistic:
    """The classifier of least loss, from `features` [N, 2^BITS] and labels [N]; ValueError for one class only."""
    import numpy as np
    from scipy.optimize import minimize
    from scipy.special import expit

    y = np.asarray(labels, float)
    if set(y) != {0.0, 1.0}:
        raise ValueError("both classes are needed")
    weights = np.where(y > 0, 0.5 / y.sum(), 0.5 / (1 - y).sum())

    def loss(parameters: Any) -> tuple[float, Any]:
        w, b = parameters[:-1], parameters[-1]
        z = x @ w + b
        value = weights @ np.logaddexp(0, np.where(y > 0, -z, z)) + penalty / 2 * (w @ w)
        slope = weights * (expit(z) - y)
        return float(value), np.append(x.T @ slope + penalty * w, slope.sum())

    found = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 500})
    return Logistic(found.x[:-1].astype(np.float32), float(np.float32(found.x[-1])))


def area(scores: Any, labels: Any) -> float:
    """Area under the ROC curve: how often a text of class 1 scores above one of class 0, ties as half."""
    import numpy as np
    from scipy.stats import rankdata

    y = np.asarray(labels, bool)
    positive, negative = int(y.sum()), int((~y).sum())
    if not positive or not negative:
        return float("nan")
    ranks = rankdata(scores)
    return float((ranks[y].sum() - positive * (positive + 1) / 2) / (positive * negative))
