# ruff: noqa: C408 (dict() is how mmengine configs are written)
"""UperNet on a masked-autoencoder ViT-S, derived from ViT-B's: no such config was published.

Dimensions are ViT-S's, everything else is ViT-B's.
"""

_base_ = "./upernet_vit_b16.py"

embed_dim = 384

model = dict(
    pretrained="pretrain/vit_s16_upernet.pth",
    backbone=dict(embed_dims=embed_dim, num_layers=12, num_heads=6, out_indices=[3, 5, 7, 11], drop_path_rate=0.1),
    neck=dict(embed_dim=embed_dim),
    decode_head=dict(in_channels=[embed_dim] * 4, channels=embed_dim),
    auxiliary_head=dict(in_channels=embed_dim),
)
optim_wrapper = dict(paramwise_cfg=dict(num_layers=12, layer_decay_rate=0.65))
work_dir = "runs/upernet_vit_s16"
