# ruff: noqa: C408 (dict() is how mmengine configs are written)
"""UperNet on a masked-autoencoder ViT-H, derived from ViT-B's: no such config was published.

The last block of each quarter, head width as the backbone's; drop path and layer decay as in MAE's fine-tuning of
ViT-H. Patch kernels are resized from 14 to 16 pixels, because 14 divides neither crop nor pyramid.
"""

_base_ = "./upernet_vit_b16.py"

embed_dim = 1280

model = dict(
    pretrained="pretrain/vit_h14_upernet.pth",
    backbone=dict(embed_dims=embed_dim, num_layers=32, num_heads=16, out_indices=[7, 15, 23, 31], drop_path_rate=0.3),
    neck=dict(embed_dim=embed_dim),
    decode_head=dict(in_channels=[embed_dim] * 4, channels=embed_dim),
    auxiliary_head=dict(in_channels=embed_dim),
)
optim_wrapper = dict(paramwise_cfg=dict(num_layers=32, layer_decay_rate=0.75))
work_dir = "runs/upernet_vit_h14"
