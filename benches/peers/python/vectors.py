"""Vector indexes that speak Python: hnswlib, usearch and faiss, one thread, CPU seconds of their own process.

One JSON request a line, one JSON answer a line; see `python.rs`.
  {"load": {"vectors": PATH, "queries": PATH, "nearest": PATH, "dim": D, "k": K}}  f32, f32, u32; little-endian
  {"build": NAME}         {"build_s", "bytes_per_vector"}
  {"search": NAME, "breadth": B}  {"seconds", "recall"} over all queries, in one call
  {"one_by_one": NAME, "breadth": B}  {"p99_s"} over all queries, a call each
"""

import importlib
import json
import os
import sys
import tempfile
import time

PINNED = {"hnswlib": "0.8.0", "usearch": "2.26.6", "faiss": "1.15.1"}
INSTALLED_AS = {"faiss": "faiss-cpu"}
LINKS, BREADTH_OF_BUILD = 16, 200


class Hnswlib:
    def __init__(self, vectors):
        import hnswlib

        self.index = hnswlib.Index("ip", vectors.shape[1])
        self.index.init_index(len(vectors), M=LINKS, ef_construction=BREADTH_OF_BUILD)
        self.index.set_num_threads(1)
        self.index.add_items(vectors, num_threads=1)

    def n_bytes(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "index")
            self.index.save_index(path)
            return os.path.getsize(path)

    def search(self, queries, k, breadth):
        self.index.set_ef(breadth)
        return self.index.knn_query(queries, k, num_threads=1)[0]


class Usearch:
    def __init__(self, vectors, dtype):
        import numpy
        from usearch.index import Index

        self.index = Index(
            ndim=vectors.shape[1], metric="ip", dtype=dtype, connectivity=LINKS, expansion_add=BREADTH_OF_BUILD
        )
        self.index.add(numpy.arange(len(vectors)), vectors, threads=1)

    def n_bytes(self):
        return self.index.serialized_length

    def search(self, queries, k, breadth):
        self.index.expansion_search = breadth
        return self.index.search(queries, k, threads=1).keys.reshape(len(queries), -1)


class Faiss:
    def __init__(self, vectors):
        import faiss

        faiss.omp_set_num_threads(1)
        self.index = faiss.IndexHNSWFlat(vectors.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
        self.index.hnsw.efConstruction = BREADTH_OF_BUILD
        self.index.add(vectors)

    def n_bytes(self):
        import faiss

        return len(faiss.serialize_index(self.index))

    def search(self, queries, k, breadth):
        self.index.hnsw.efSearch = breadth
        return self.index.search(queries, k)[1]


MAKERS = {
    "hnswlib": ("hnswlib", Hnswlib),
    "faiss HNSW": ("faiss", Faiss),
    "usearch f32": ("usearch", lambda vectors: Usearch(vectors, "f32")),
    "usearch f16": ("usearch", lambda vectors: Usearch(vectors, "f16")),
    "usearch i8": ("usearch", lambda vectors: Usearch(vectors, "i8")),
}


def peers():
    found, absent = {}, {}
    for name, (package, make) in MAKERS.items():
        try:
            importlib.import_module("numpy")
            importlib.import_module(package)
            found[name] = make
        except (ImportError, OSError) as error:
            absent[name] = f"pip install numpy {INSTALLED_AS.get(package, package)}=={PINNED[package]} ({error})"
    return found, absent


def load(request):
    import numpy

    numbers = lambda name, dtype, width: numpy.fromfile(request[name], dtype).reshape(-1, width)
    dim, k = request["dim"], request["k"]
    return numbers("vectors", "<f4", dim), numbers("queries", "<f4", dim), numbers("nearest", "<u4", k)


def recall(found, nearest):
    hits = sum(len(set(map(int, a)) & set(map(int, b))) for a, b in zip(found, nearest))
    return hits / nearest.size


def main():
    found, absent = peers()
    print(json.dumps({"ready": list(found), "absent": absent}), flush=True)
    vectors = queries = nearest = None
    built = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "load" in request:
            vectors, queries, nearest = load(request["load"])
            built.clear()
            answer = {}
        elif "build" in request:
            built.clear()
            start = time.process_time()
            index = found[request["build"]](vectors)
            build_s = time.process_time() - start
            built[request["build"]] = index
            answer = {"build_s": build_s, "bytes_per_vector": index.n_bytes() / len(vectors)}
        elif "search" in request:
            index, k, breadth = built[request["search"]], nearest.shape[1], request["breadth"]
            index.search(queries[:32], k, breadth)
            start = time.process_time()
            answers = index.search(queries, k, breadth)
            answer = {"seconds": time.process_time() - start, "recall": recall(answers, nearest)}
        else:
            index, k, breadth = built[request["one_by_one"]], nearest.shape[1], request["breadth"]
            times = []
            for at in range(len(queries)):
                start = time.process_time()
                index.search(queries[at : at + 1], k, breadth)
                times.append(time.process_time() - start)
            answer = {"p99_s": sorted(times)[len(times) * 99 // 100]}
        print(json.dumps(answer), flush=True)


main()
