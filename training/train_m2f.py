"""Train the bundled model toy-street-m2f, from the backbone of toy-street-fpn: a maintainers' tool, as train.py is.

    python training/train_m2f.py render|train|export --work DIR

The loss is Mask2Former's (Cheng et al., arXiv 2112.01527; published code MIT) for semantic segmentation: the mask of
each class that is present is matched to one query, by the least cost, after every decoder layer; plus train.py's loss
of the semantic maps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from semask_cli.checkpoints.loading import load_network
from semask_cli.models.deformable_encoder import LEVELS, POINTS, DeformableAttention
from semask_cli.models.mask2former import MaskedQueryDecoder
from semask_cli.zoo import load_zoo
from training.train import IGNORE, Recipe, Task, main, random_pixel, resized, semantic_loss

CLASS_COST, MASK_COST, DICE_COST = 2.0, 5.0, 5.0
NO_OBJECT_WEIGHT = 0.1
STRIDE = 4  # of the masks

RECIPE = Recipe(
    steps=3000,
    batch=4,
    crop=(256, 384),
    small_share=0.4,
    learning_rate=1e-3,
    weight_decay=0.05,
)


@torch.library.impl("semask::ms_deform_attn", "AutogradCPU")
def ms_deform_attn(
    value: Tensor, level_sizes: Sequence[int], reference: Tensor, offsets: Tensor, logits: Tensor
) -> Tensor:
    """The operator as grid_sample computes it, which has a gradient; inference mode keeps to the operator's own."""
    batch, _, heads, channels = value.shape
    _, queries, _, _, points, _ = offsets.shape
    sizes = list(zip(level_sizes[::2], level_sizes[1::2], strict=True))
    weights = logits.softmax(-1).unflatten(-1, (len(sizes), points))
    attended = value.new_zeros(())
    for level, part in enumerate(value.split([h * w for h, w in sizes], dim=1)):
        h, w = sizes[level]
        # (B, h * w, heads, D) -> (B * heads, D, h, w)
        maps = part.permute(0, 2, 3, 1).reshape(batch * heads, channels, h, w)
        places = 2 * (reference[:, None, None] + offsets[:, :, :, level] / offsets.new_tensor((w, h))) - 1
        # (B, Q, heads, points, 2) -> (B * heads, Q, points, 2)
        samples = F.grid_sample(maps, places.transpose(1, 2).flatten(0, 1), align_corners=False)
        attended = attended + (samples * weights[:, :, :, level].transpose(1, 2).flatten(0, 1)[:, None]).sum(-1)
    # (B * heads, D, Q) -> (B, Q, heads * D)
    return attended.view(batch, heads * channels, queries).transpose(1, 2)


def initialise(model: nn.Module) -> None:
    """The backbone of toy-street-fpn; sampling points that start in a circle, each head's in its own direction."""
    zoo = load_zoo()
    trained = load_network(zoo.find("toy-street-fpn"), zoo, device=torch.device("cpu")).network
    model.backbone.load_state_dict(trained.backbone.state_dict())
    for module in model.modules():
        if isinstance(module, DeformableAttention):
            nn.init.zeros_(module.sampling_offsets.weight)
            nn.init.zeros_(module.attention_weights.weight)
            nn.init.zeros_(module.attention_weights.bias)
            module.sampling_offsets.bias.data.copy_(circles(module.heads).flatten())


def circles(heads: int) -> Tensor:
    """Offsets (heads, LEVELS, POINTS, 2) in pixels: point after point, each head moves on in its own direction."""
    angles = torch.arange(heads) * (2 * math.pi / heads)
    directions = torch.stack((angles.cos(), angles.sin()), -1)
    directions = directions / directions.abs().amax(-1, keepdim=True)
    steps = torch.arange(1.0, POINTS + 1)[:, None]
    return (directions[:, None, None] * steps).expand(-1, LEVELS, -1, -1)


def loss_of(model: nn.Module, pixels: Tensor, labels: Tensor, weights: Tensor, recipe: Recipe, step: int) -> Tensor:
    """The mean of the matching losses of all decoder layers, and the semantic maps' loss."""
    features, semantic_maps = model.backbone(pixels)
    mask_features, maps = model.sem_seg_head.pixel_decoder(features)
    predictor = model.sem_seg_head.predictor
    layers = queries_by_layer(predictor, maps, mask_features)
    top, left = random_pixel(step, STRIDE)
    # Masks are linear in their features: to shift these by a part of a cell is to sample the resized masks.
    placed = shifted(mask_features, top, left)
    targets = labels[:, top::STRIDE, left::STRIDE]
    losses = [
        matching_loss(predictor.class_embed(predictor.decoder_norm(x)), predictor.masks(x, placed), targets)
        for x in layers
    ]
    return torch.stack(losses).mean() + recipe.semantic_weight * semantic_loss(semantic_maps, labels, weights, step)


def queries_by_layer(predictor: MaskedQueryDecoder, maps: list[Tensor], mask_features: Tensor) -> list[Tensor]:
    """The queries (B, Q, C) before the first decoder layer and after each."""
    layers = [predictor.query_feat.weight.expand(len(mask_features), -1, -1)]
    hooks = [
        layer.register_forward_hook(lambda _module, _inputs, queries: layers.append(queries))
        for layer in predictor.transformer_ffn_layers
    ]
    predictor(maps, mask_features)
    for hook in hooks:
        hook.remove()
    return layers


def shifted(features: Tensor, top: int, left: int) -> Tensor:
    """Features (B, C, h, w) as they are, resized STRIDE-fold, at pixel (top, left) of each cell."""
    batch, _, height, width = features.shape
    y = (torch.arange(height) * STRIDE + top + 0.5) * (2 / (height * STRIDE)) - 1
    x = (torch.arange(width) * STRIDE + left + 0.5) * (2 / (width * STRIDE)) - 1
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
    return F.grid_sample(features, grid.expand(batch, -1, -1, -1), padding_mode="border", align_corners=False)


def matching_loss(class_logits: Tensor, mask_logits: Tensor, labels: Tensor) -> Tensor:
    """Mask2Former's loss of one layer.

    Class logits (B, Q, classes + 1), mask logits (B, Q, h, w), labels (B, h, w).
    """
    nothing = class_logits.shape[2] - 1
    known = labels != IGNORE
    one_hot = F.one_hot(torch.where(known, labels, nothing), nothing + 1)
    masks = one_hot[..., :nothing].flatten(1, 2).float()  # (B, h * w, classes)
    mask_cost = mask_costs(mask_logits.flatten(2), masks, known.flatten(1)[:, None].float())
    cost = mask_cost - CLASS_COST * class_logits.softmax(-1)[..., :nothing]

    wanted, matched = torch.full(class_logits.shape[:2], nothing), []
    for b, is_present in enumerate(masks.any(1)):
        (present,) = is_present.nonzero(as_tuple=True)
        queries, order = linear_sum_assignment(cost[b][:, present].detach().numpy())
        wanted[b, queries] = present[order]
        matched.append(mask_cost[b, queries, present[order]])
    weights = torch.ones(nothing + 1)
    weights[nothing] = NO_OBJECT_WEIGHT
    class_loss = F.cross_entropy(class_logits.flatten(0, 1), wanted.flatten(), weights)
    return CLASS_COST * class_loss + torch.cat(matched).mean()


def mask_costs(logits: Tensor, masks: Tensor, known: Tensor) -> Tensor:
    """What each query's mask lacks to be each class's, (B, Q, classes): binary cross-entropy and Dice.

    `logits` (B, Q, P), `masks` (B, P, classes) of 0 and 1, `known` (B, 1, P) of 0 and 1.
    """
    area, known_area = masks.sum(1, keepdim=True), known.sum(2, keepdim=True)
    entropy = (F.softplus(logits) * known).sum(2, keepdim=True) - logits @ masks
    shares = logits.sigmoid() * known
    dice = 1 - (2 * (shares @ masks) + 1) / (shares.sum(2, keepdim=True) + area + 1)
    return MASK_COST * entropy / known_area.clamp(min=1) + DICE_COST * dice


def scores_of(model: nn.Module, pixels: Tensor) -> Tensor:
    """Class scores (B, classes, H, W) of pixels (B, 3, H, W), both sides multiples of 32."""
    class_logits, mask_logits = model(pixels)
    masks = resized(mask_logits, pixels.shape[2:]).sigmoid()
    return torch.einsum("bqc,bqhw->bchw", class_logits.softmax(-1)[..., :-1], masks)


if __name__ == "__main__":
    spec = load_zoo().find("toy-street-m2f")
    main(Task(spec=spec, recipe=RECIPE, initialise=initialise, loss=loss_of, scores=scores_of))
