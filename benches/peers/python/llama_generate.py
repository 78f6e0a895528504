"""llama.cpp computing tokens of a GGUF file: CPU and wall seconds of this process.

One JSON request a line, one JSON answer a line; see `python.rs`.
  {"load": path, "threads"}         {}
  {"past", "ids", "one_by_one"}     {"s", "wall_s", "likeliest"}   seconds for ids after past, the likeliest token then
  {"restore": past}                 {"s"}                seconds to set the state that past leaves
  {"memory": true}                  {"mib"}
  {"unload": true}                  {}
"""

import ctypes
import json
import os
import resource
import sys
import time

PIP = "pip install llama-cpp-python==0.3.36 (builds llama.cpp: needs a C++ compiler)"
CONTEXT = 2560
BATCH = 512


class Engine:
    """A model, a context, and the tokens whose keys and values it holds."""

    def __init__(self, lib, path, threads):
        self.lib = lib
        self.model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
        assert self.model, "the model does not load"
        params = lib.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = CONTEXT, BATCH, BATCH
        params.n_threads = params.n_threads_batch = threads
        self.context = lib.llama_init_from_model(self.model, params)
        assert self.context, "no context"
        self.memory = lib.llama_get_memory(self.context)
        self.n_vocab = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(self.model))
        self.held = []

    def close(self):
        self.lib.llama_free(self.context)
        self.lib.llama_model_free(self.model)

    def decode(self, ids, step):
        for start in range(0, len(ids), step):
            part = ids[start : start + step]
            tokens = (ctypes.c_int32 * len(part))(*part)  # the batch only points to them
            status = self.lib.llama_decode(self.context, self.lib.llama_batch_get_one(tokens, len(part)))
            assert status == 0, f"it does not decode: {status}"
        self.held += ids

    def keep(self, past):
        """Holds exactly `past`: the tail is dropped, what is missing is computed."""
        same = 0
        while same < min(len(past), len(self.held)) and past[same] == self.held[same]:
            same += 1
        self.lib.llama_memory_seq_rm(self.memory, 0, same, -1)
        self.held = self.held[:same]
        if past[same:]:
            self.decode(past[same:], BATCH)

    def compute(self, past, ids, one_by_one):
        self.keep(past)
        start, wall = time.process_time(), time.perf_counter()
        self.decode(ids, 1 if one_by_one else BATCH)
        logits = self.lib.llama_get_logits_ith(self.context, -1)
        seconds, wall = time.process_time() - start, time.perf_counter() - wall
        likeliest = max(range(self.n_vocab), key=lambda i: logits[i])
        return {"s": seconds, "wall_s": wall, "likeliest": likeliest}

    def restore(self, past):
        self.keep(past)
        size = self.lib.llama_state_seq_get_size(self.context, 0)
        state = (ctypes.c_uint8 * size)()
        assert self.lib.llama_state_seq_get_data(self.context, state, size, 0) == size, "the state is not saved"
        start = time.process_time()
        loaded = self.lib.llama_state_seq_set_data(self.context, state, size, 0)
        seconds = time.process_time() - start
        assert loaded == size, "the state is not restored"
        return {"s": seconds}


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer

    def answer(value):
        print(json.dumps(value), file=answers, flush=True)

    try:
        import llama_cpp as lib
    except (ImportError, OSError, RuntimeError) as error:
        answer({"ready": [], "absent": {"llama.cpp": f"{PIP} ({error})"}})
        return
    quiet = lib.llama_log_callback(lambda level, text, data: None)
    lib.llama_log_set(quiet, None)
    lib.llama_backend_init()
    answer({"ready": ["llama.cpp"], "absent": {}})
    engine = None
    for line in sys.stdin:
        try:
            request = json.loads(line)
            if "load" in request:
                engine = Engine(lib, request["load"], request["threads"])
                answer({})
            elif "unload" in request:
                engine.close()
                engine = None
                answer({})
            elif "restore" in request:
                answer(engine.restore(request["restore"]))
            elif "memory" in request:
                answer({"mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024})
            else:
                answer(engine.compute(request["past"], request["ids"], request["one_by_one"]))
        except Exception as error:  # the bench fails with these words
            answer({"error": f"{line.strip()[:200]}: {error!r}"})


main()
