"""Every decoder and every machine under octets that are wrong, guided by coverage (atheris).

A target takes octets, and may raise nothing but what it declares, take no longer than a tenth of a
second of CPU time, and keep nothing. `decoders` are formats, `machines` what goes on with them,
before and after encryption and authentication, `files` all that comes from files and pipes. Inputs
are altered by the layout of their format, so that lengths, checksums, integrity and signatures are
right where only what is behind them is wrong.

    python -m tests.bad_bytes --inputs 1000000
    python -m tests.bad_bytes --inputs 1000000 --target ikev2-machines
    python -m tests.bad_bytes --target ikev2-machines --input 0017ff
"""
