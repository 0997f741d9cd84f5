"""The program of `fakes.llama`: llama.cpp's server on a port of 127.0.0.1, until SIGINT.

Its arguments are a port, the path of a model, and options as JSON: fields of llama.cpp's parameters, and `grammar`,
the only texts that the model may write.
"""

from __future__ import annotations

import json
import signal
import sys

import xllamacpp


def main() -> None:
    port, model, options = sys.argv[1:]
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.port = int(port)
    params.warmup = False
    params.endpoint_slots = True
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    fields = json.loads(options)
    if grammar := fields.pop("grammar", ""):
        kind = xllamacpp.common_grammar_type.COMMON_GRAMMAR_TYPE_USER
        params.sampling.grammar = xllamacpp.CommonGrammar(kind, grammar)
    for name, value in fields.items():
        if not hasattr(params, name):
            raise SystemExit(f"llama.cpp has no parameter {name}")
        setattr(params, name, value)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # or one of the server's threads may get it
    server = xllamacpp.Server(params)  # serves in threads of its own
    signal.sigwait({signal.SIGINT})
    del server


if __name__ == "__main__":
    main()
