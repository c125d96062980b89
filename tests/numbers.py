"""Numbers of command lines, for argparse."""

import argparse


def whole(least):
    """Return what reads a whole number that is not less than `least`."""

    def read(text):
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text} is no whole number") from None
        if number < least:
            raise argparse.ArgumentTypeError(f"{text} is too small; use {least} or more")
        return number

    return read
