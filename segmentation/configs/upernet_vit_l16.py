# ruff: noqa: C408 (dict() is how mmengine configs are written)
"""UperNet on a masked-autoencoder ViT-L, derived from ViT-B's: no such config was published.

Blocks and head width as in mmsegmentation's BEiT-L UperNet; drop path and layer decay as in MAE's fine-tuning of ViT-L.
Learning rate, crop and schedule stay ViT-B's.
"""

_base_ = "./upernet_vit_b16.py"

embed_dim = 1024

model = dict(
    pretrained="pretrain/vit_l16_upernet.pth",
    backbone=dict(embed_dims=embed_dim, num_layers=24, num_heads=16, out_indices=[7, 11, 15, 23], drop_path_rate=0.2),
    neck=dict(embed_dim=embed_dim),
    decode_head=dict(in_channels=[embed_dim] * 4, channels=embed_dim),
    auxiliary_head=dict(in_channels=embed_dim),
)
optim_wrapper = dict(paramwise_cfg=dict(num_layers=24, layer_decay_rate=0.75))
work_dir = "runs/upernet_vit_l16"
