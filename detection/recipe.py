"""What decides the numbers of a ViTDet run: the typed form of a recipe's ``protocol``."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pyramid:
    """Simple feature pyramid: ``scales`` multiply the backbone's resolution; ``extra_level`` is a last max pooling."""

    scales: list[float]
    channels: int
    extra_level: bool


@dataclass(frozen=True)
class Rpn:
    """Region proposals. The pairs are (training, test)."""

    convs: int
    anchors_per_image: int
    before_nms: list[int]
    after_nms: list[int]


@dataclass(frozen=True)
class BoxHead:
    """Convolutions of ``channels`` and one fully connected layer of ``fc`` units."""

    convs: int
    channels: int
    fc: int


@dataclass(frozen=True)
class MaskHead:
    """Convolutions of ``channels`` on ``side`` x ``side`` features, then a transposed one that doubles the side."""

    convs: int
    channels: int
    side: int


@dataclass(frozen=True)
class Protocol:
    """One field per value of upstream's configuration, in iterations, pixels and images."""

    classes: int
    image_size: int
    patch_size: int
    """Patch side inside the detector; other patch kernels are resized to it."""
    drop_path: float
    window_size: int
    """Side of an attention window in patches; 0 for global attention in every block."""
    global_blocks: list[int]
    """Blocks that attend globally where ``window_size`` is not 0."""
    pyramid: Pyramid
    anchors: list[int]
    """Anchor side in pixels, one per pyramid level."""
    rpn: Rpn
    rois_per_image: int
    box_head: BoxHead
    mask_head: MaskHead
    detections_per_image: int
    """Most detections of one test image."""
    scale_jitter: list[float]
    batch_size: int
    iterations: int
    milestones: list[int]
    """Iterations after which the learning rate is multiplied by .1."""
    warmup_iterations: float
    warmup_factor: float
    learning_rate: float
    betas: list[float]
    weight_decay: float
    norm_weight_decay: float | None
    """None: as every other weight."""
    pos_embed_weight_decay: float | None
    layer_decay: float
    clip_norm: float | None


@dataclass(frozen=True)
class Execution:
    """What does not decide the numbers."""

    per_device_batch: int
    """Images of one micro-batch on one device."""
    workers: int
    checkpoint_every: int
    log_every: int
    activation_checkpointing: bool = False
    precision: str = "fp32"
    """``bf16``: autocast; ``Context.precision`` says what ``auto`` is on the machine."""
    matmul_precision: str = "highest"
    """``torch.set_float32_matmul_precision``."""
    attention: str = "auto"
    """``fused`` (SDPA), ``plain`` (matrix products), or ``auto``: fused on a GPU."""
    test_batch: int = 1
    drawn_images: int = 6
