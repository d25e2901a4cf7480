# ruff: noqa: C408 (dict() is how mmengine configs are written)
"""The demo's small UperNet on the demo's data, for a CPU: the values of ``recipes/ade20k_upernet_demo.yaml``."""

_base_ = "./upernet_vit_b16.py"

crop_size = (64, 64)
image_scale = (256, 64)
embed_dim = 128
class_names = ("background", "trouser", "dress", "sneaker", "bag")

model = dict(
    data_preprocessor=dict(size=crop_size),
    pretrained="pretrain/vit_demo_upernet.pth",
    backbone=dict(
        img_size=crop_size, patch_size=8, embed_dims=embed_dim, num_layers=4, num_heads=2, out_indices=[0, 1, 2, 3]
    ),
    neck=dict(embed_dim=embed_dim),
    decode_head=dict(in_channels=[embed_dim] * 4, channels=64, num_classes=5),
    auxiliary_head=dict(in_channels=embed_dim, channels=64, num_classes=5),
    test_cfg=dict(crop_size=crop_size, stride=(42, 42)),
)

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", reduce_zero_label=True),
    dict(type="RandomResize", scale=image_scale, ratio_range=(0.75, 1.5), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.75),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=image_scale, keep_ratio=True),
    dict(type="LoadAnnotations", reduce_zero_label=True),
    dict(type="PackSegInputs"),
]
dataset = dict(
    # ADE20KDataset fixes the 150 names; its base class takes everything that it would set.
    type="BaseSegDataset",
    data_root="data/demo/ade20k",
    metainfo=dict(classes=class_names),
    img_suffix=".png",
    reduce_zero_label=True,
)
train_dataloader = dict(batch_size=16, dataset=dict(pipeline=train_pipeline, **dataset))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline, **dataset))
test_dataloader = val_dataloader

optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(num_layers=4))
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=20),
    dict(type="PolyLR", eta_min=0.0, power=1.0, begin=20, end=120, by_epoch=False),
]
train_cfg = dict(max_iters=120, val_interval=120)
default_hooks = dict(checkpoint=dict(interval=120))
work_dir = "runs/upernet_demo"
