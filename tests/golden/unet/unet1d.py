"""ConditionalUnet1D of Diffusion Policy in PyTorch, from its description; module names are those of published weights."""

import math

import torch
from torch import nn


class SinusoidalPosEmb(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, steps):
        half = self.dim // 2
        rates = torch.exp(torch.arange(half) * -(math.log(10000) / (half - 1)))
        phases = steps[:, None] * rates[None]
        return torch.cat([phases.sin(), phases.cos()], dim=-1)


class ConvBlock(nn.Module):
    def __init__(self, dim_in, dim_out, kernel_size, n_groups):
        super().__init__()
        conv = nn.Conv1d(dim_in, dim_out, kernel_size, padding=kernel_size // 2)
        self.block = nn.Sequential(conv, nn.GroupNorm(n_groups, dim_out), nn.Mish())

    def forward(self, x):
        return self.block(x)


class ResidualBlock(nn.Module):
    def __init__(self, dim_in, dim_out, cond_dim, config):
        super().__init__()
        k, g = config["kernel_size"], config["n_groups"]
        self.blocks = nn.ModuleList([ConvBlock(dim_in, dim_out, k, g), ConvBlock(dim_out, dim_out, k, g)])
        self.with_scale = config["cond_predict_scale"]
        self.cond_encoder = nn.Sequential(nn.Mish(), nn.Linear(cond_dim, dim_out * (1 + self.with_scale)))
        self.residual_conv = nn.Identity() if dim_in == dim_out else nn.Conv1d(dim_in, dim_out, 1)

    def forward(self, x, cond):
        film = self.cond_encoder(cond)[:, :, None]
        h = self.blocks[0](x)
        if self.with_scale:
            scale, bias = film.chunk(2, dim=1)
            h = scale * h + bias
        else:
            h = h + film
        return self.blocks[1](h) + self.residual_conv(x)


class Resample(nn.Module):
    def __init__(self, conv):
        super().__init__()
        self.conv = conv

    def forward(self, x):
        return self.conv(x)


class ConditionalUnet1D(nn.Module):
    def __init__(self, config):
        super().__init__()
        embed, dims = config["diffusion_step_embed_dim"], config["down_dims"]
        cond_dim = embed + (config["global_cond_dim"] or 0)
        self.diffusion_step_encoder = nn.Sequential(
            SinusoidalPosEmb(embed), nn.Linear(embed, 4 * embed), nn.Mish(), nn.Linear(4 * embed, embed)
        )

        def block(dim_in, dim_out):
            return ResidualBlock(dim_in, dim_out, cond_dim, config)

        local = config["local_cond_dim"]
        self.local_cond_encoder = None
        if local is not None:
            self.local_cond_encoder = nn.ModuleList([block(local, dims[0]), block(local, dims[0])])
        pairs = list(zip([config["input_dim"], *dims], dims))
        self.down_modules = nn.ModuleList()
        for level, (above, dim) in enumerate(pairs):
            last = level == len(dims) - 1
            down = nn.Identity() if last else Resample(nn.Conv1d(dim, dim, 3, 2, 1))
            self.down_modules.append(nn.ModuleList([block(above, dim), block(dim, dim), down]))
        self.mid_modules = nn.ModuleList([block(dims[-1], dims[-1]) for _ in range(2)])
        self.up_modules = nn.ModuleList()
        for above, dim in reversed(pairs[1:]):
            # Every level doubles the length: upstream's test for the last one never holds.
            up = Resample(nn.ConvTranspose1d(above, above, 4, 2, 1))
            self.up_modules.append(nn.ModuleList([block(2 * dim, above), block(above, above), up]))
        # Upstream does not hand n_groups on to this block.
        final = ConvBlock(dims[0], dims[0], config["kernel_size"], 8)
        self.final_conv = nn.Sequential(final, nn.Conv1d(dims[0], config["input_dim"], 1))

    def forward(self, sample, timestep, local_cond=None, global_cond=None):
        """(B, Tp, input_dim), (B,), (B, Tp, local_cond_dim), (B, global_cond_dim) -> (B, Tp, input_dim)."""
        cond = self.diffusion_step_encoder(timestep.expand(len(sample)))
        if global_cond is not None:
            cond = torch.cat([cond, global_cond], dim=-1)
        x, skips = sample.mT, []
        for level, (first, second, down) in enumerate(self.down_modules):
            x = first(x, cond)
            if level == 0 and local_cond is not None:
                # The second local encoder never reaches the way up upstream.
                x = x + self.local_cond_encoder[0](local_cond.mT, cond)
            x = second(x, cond)
            skips.append(x)
            x = down(x)
        for mid in self.mid_modules:
            x = mid(x, cond)
        for first, second, up in self.up_modules:
            x = torch.cat([x, skips.pop()], dim=1)
            x = up(second(first(x, cond), cond))
        return self.final_conv(x).mT
