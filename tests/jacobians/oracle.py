"""What the operators are by definition: matrices (*batch, out_size, in_size) filled and multiplied by plain loops."""

import numpy as np


def broadcast(*leads):
    return np.broadcast_shapes(*leads)


def sample_of(x, ndim, sample):
    """The last ``ndim`` axes of ``x`` at one sample of a batch that x broadcasts to."""
    lead = x.shape[: x.ndim - ndim]
    own = sample[len(sample) - len(lead) :]
    return x[tuple(0 if n == 1 else i for i, n in zip(own, lead, strict=True))]


def identity(n):
    A = np.zeros((n, n))
    for p in range(n):
        A[p, p] = 1.0
    return A


def diagonal(d, ndim):
    batch = d.shape[: d.ndim - ndim]
    n = int(np.prod(d.shape[d.ndim - ndim :]))
    A = np.zeros((*batch, n, n), d.dtype)
    for b in np.ndindex(batch):
        values = [d[b][place] for place in np.ndindex(d.shape[d.ndim - ndim :])]
        for p in range(n):
            A[(*b, p, p)] = values[p]
    return A


def selection(index, n):
    A = np.zeros((len(index), n))
    for p, q in enumerate(index):
        if q >= 0:
            A[p, q] = 1.0
    return A


def row(r, ndim):
    batch = r.shape[: r.ndim - ndim]
    A = np.zeros((*batch, 1, int(np.prod(r.shape[r.ndim - ndim :]))), r.dtype)
    for b in np.ndindex(batch):
        for q, place in enumerate(np.ndindex(r.shape[r.ndim - ndim :])):
            A[(*b, 0, q)] = r[b][place]
    return A


def weight(M, h):
    """T[p, (q, r)] = M[p, q] h[r]"""
    outs, rows, columns = M.shape[-2], M.shape[-1], h.shape[-1]
    batch = broadcast(M.shape[:-2], h.shape[:-1])
    A = np.zeros((*batch, outs, rows * columns), np.result_type(M, h))
    for b in np.ndindex(batch):
        for p in range(outs):
            for q in range(rows):
                for r in range(columns):
                    A[(*b, p, q * columns + r)] = sample_of(M, 2, b)[p, q] * sample_of(h, 1, b)[r]
    return A


def one_hot(index, rows):
    c = np.zeros((*index.shape, rows))
    for b in np.ndindex(index.shape):
        c[(*b, index[b])] = 1.0
    return c


def mixture(M, c):
    """T[p, (q, r)] = c[q] M[p, r]"""
    outs, rows, columns = M.shape[-2], c.shape[-1], M.shape[-1]
    batch = broadcast(M.shape[:-2], c.shape[:-1])
    A = np.zeros((*batch, outs, rows * columns), np.result_type(M, c))
    for b in np.ndindex(batch):
        for p in range(outs):
            for q in range(rows):
                for r in range(columns):
                    A[(*b, p, q * columns + r)] = sample_of(c, 1, b)[q] * sample_of(M, 2, b)[p, r]
    return A


def total(*terms):
    batch = broadcast(*(A.shape[:-2] for A in terms))
    result = np.zeros((*batch, *terms[0].shape[-2:]), np.result_type(*terms))
    for b in np.ndindex(batch):
        for p in range(result.shape[-2]):
            for q in range(result.shape[-1]):
                for A in terms:
                    result[(*b, p, q)] += sample_of(A, 2, b)[p, q]
    return result


def chain(A, *others):
    for B in others:
        batch = broadcast(A.shape[:-2], B.shape[:-2])
        result = np.zeros((*batch, A.shape[-2], B.shape[-1]), np.result_type(A, B))
        for b in np.ndindex(batch):
            a, c = sample_of(A, 2, b), sample_of(B, 2, b)
            for p in range(a.shape[0]):
                for q in range(c.shape[1]):
                    for k in range(a.shape[1]):
                        result[(*b, p, q)] += a[p, k] * c[k, q]
        A = result
    return A


def push(A, v):
    """(*lead, in_size) -> (*lead', out_size)"""
    lead = broadcast(A.shape[:-2], v.shape[:-1])
    result = np.zeros((*lead, A.shape[-2]), np.result_type(A, v))
    for b in np.ndindex(lead):
        for p in range(A.shape[-2]):
            for q in range(A.shape[-1]):
                result[(*b, p)] += sample_of(A, 2, b)[p, q] * sample_of(v, 1, b)[q]
    return result


def pull(A, g):
    """(*lead, out_size) -> (*lead', in_size)"""
    lead = broadcast(A.shape[:-2], g.shape[:-1])
    result = np.zeros((*lead, A.shape[-1]), np.result_type(A, g))
    for b in np.ndindex(lead):
        for p in range(A.shape[-2]):
            for q in range(A.shape[-1]):
                result[(*b, q)] += sample_of(A, 2, b)[p, q] * sample_of(g, 1, b)[p]
    return result


def pull_total(A, g):
    each = pull(A, g)
    result = np.zeros(each.shape[-1:], each.dtype)
    for b in np.ndindex(each.shape[:-1]):
        for q in range(each.shape[-1]):
            result[q] += each[(*b, q)]
    return result


def transpose(A):
    result = np.zeros((*A.shape[:-2], A.shape[-1], A.shape[-2]), A.dtype)
    for b in np.ndindex(A.shape[:-2]):
        for p in range(A.shape[-2]):
            for q in range(A.shape[-1]):
                result[(*b, q, p)] = A[(*b, p, q)]
    return result


def norm(A):
    result = np.zeros(A.shape[:-2])
    for b in np.ndindex(A.shape[:-2]):
        result[b] = sum(abs(x) ** 2 for x in A[b].ravel()) ** 0.5
    return result
