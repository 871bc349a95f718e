"""`python -m lamella`: the version and how the core was built."""

from __future__ import annotations

import argparse
import pathlib

import lamella

__all__ = ["cmake_dir", "main"]


def cmake_dir() -> str:
    """Return the folder of lamella's CMake package, for find_package.

    Raises:
        FileNotFoundError: if this installation has none.
    """
    package = pathlib.Path(lamella.__file__).resolve().parent
    for config in sorted(package.rglob("lamellaConfig.cmake")):
        return str(config.parent)
    raise FileNotFoundError(
        f"lamella in {package} has no lamellaConfig.cmake: it was installed without "
        "the C++ package"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lamella", description=__doc__)
    parser.add_argument(
        "--cmakedir",
        "--cmake-dir",
        action="store_true",
        help="print the folder for CMake's find_package(lamella)",
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    options = parser.parse_args(arguments)
    if options.cmakedir:
        try:
            print(cmake_dir())
        except FileNotFoundError as error:
            parser.exit(1, f"{error}\n")
        return 0
    print(f"lamella {lamella.__version__}")
    if not options.version:
        for key, value in lamella.build_info().items():
            print(f"{key}: {value}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
