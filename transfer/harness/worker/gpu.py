"""Whether torch can use the GPUs that a run was given: ``python -m transfer.harness.worker.gpu`` tries each.

``nvidia-smi`` lists GPUs that torch cannot use, for example where the driver is too old for torch's CUDA. Without this
check, a run on such a machine would silently train on the CPU.
"""

import os

from crossmae.errors import UserError, one_line

DEVICE_VARIABLE = "TRANSFER_DEVICE"
"""Environment variable in which a launcher says that a run was given GPUs (``cuda``)."""

_REMEDY = "update the NVIDIA driver or install another torch (see the README), or give --devices cpu"


def require_gpu() -> None:
    """Refuses to run without a GPU where the launcher gave one.

    Raises:
        UserError: torch sees no GPU.
    """
    if os.environ.get(DEVICE_VARIABLE) != "cuda":
        return
    import torch

    if not torch.cuda.is_available():
        given = os.environ.get("CUDA_VISIBLE_DEVICES", "one by Slurm")
        raise UserError(f"this run was given a GPU ({given}), but torch {torch.__version__} can use none", _REMEDY)


def main() -> None:
    """Multiplies two small bf16 matrices on every visible GPU; the last line on stdout says what is wrong, if any."""
    try:
        require_gpu()
        import torch

        for index in range(torch.cuda.device_count()):
            matrix = torch.ones(64, 64, dtype=torch.bfloat16, device=f"cuda:{index}")
            (matrix @ matrix).sum().item()
    except UserError as error:
        print(error)
    except Exception as error:
        print(UserError(f"torch cannot compute on the GPUs ({one_line(error, 300)})", _REMEDY))


if __name__ == "__main__":
    main()
