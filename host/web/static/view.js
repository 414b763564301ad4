// Draws the scene on the canvas, in the colours of the style sheet.

const COLORS = ["floor", "grid", "wall", "goal", "block", "block-edge", "agent", "target", "plan", "text"];
/** Px of the scene between lines of the grid. */
const GRID_PX = 64;
const WALL_PX = [5, 506];
const WALL_WIDTH_PX = 4;
/** Milliseconds in which the passes of a plan appear. */
const DENOISING_MS = 600;

export class View {
  /** @param geometry what `Game.geometry` returns */
  constructor(canvas, geometry) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    const [window_px, radius, , ...corners] = geometry;
    this.size = window_px;
    this.radius = radius;
    this.boxes = [corners.slice(0, 8), corners.slice(8, 16)];
    this.colors = {};
    this.readColors();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.readColors());
    this.isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
    new ResizeObserver(() => this.fit()).observe(canvas);
    this.fit();
  }

  /** Colours as the browser resolves them. */
  readColors() {
    const probe = document.createElement("i");
    document.body.append(probe);
    for (const name of COLORS) {
      probe.style.color = `var(--${name})`;
      this.colors[name] = getComputedStyle(probe).color;
    }
    probe.remove();
  }

  fit() {
    const side = Math.max(1, Math.round(this.canvas.clientWidth * devicePixelRatio));
    if (this.canvas.width !== side) {
      this.canvas.width = this.canvas.height = side;
    }
  }

  /** Where a pointer is, px of the scene. */
  place(event) {
    const box = this.canvas.getBoundingClientRect();
    const scale = this.size / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  }

  /** Whether a place is on the block. */
  isOnBlock([x, y], scene) {
    const [, , blockX, blockY, angle] = scene;
    const [dx, dy] = [x - blockX, y - blockY];
    const u = Math.cos(angle) * dx + Math.sin(angle) * dy;
    const v = Math.cos(angle) * dy - Math.sin(angle) * dx;
    return this.boxes.some((box) => u >= box[0] && u <= box[2] && v >= box[1] && v <= box[5]);
  }

  /** @param what {scene, target, planned, denoising, plannedAt, now} */
  draw(what) {
    const { context, colors } = this;
    const scale = this.canvas.width / this.size;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.lineJoin = context.lineCap = "round";
    this.floor();
    const [agentX, agentY, blockX, blockY, angle, goalX, goalY, goalAngle] = what.scene;
    this.tee(goalX, goalY, goalAngle, colors.goal, null);
    this.tee(blockX, blockY, angle, colors.block, colors["block-edge"]);
    this.disc(agentX, agentY, this.radius, colors.agent);
    context.globalAlpha = 0.35;
    this.disc(agentX, agentY, this.radius * 0.6, colors.floor);
    context.globalAlpha = 1;
    if (what.denoising) this.passes(what.denoising, what.now - what.plannedAt);
    if (what.planned?.length) this.path([agentX, agentY, ...what.planned], colors.plan, 2.5, 3.6);
    if (what.target) this.cross(...what.target);
  }

  floor() {
    const { context, colors, size } = this;
    context.fillStyle = colors.floor;
    context.fillRect(0, 0, size, size);
    context.strokeStyle = colors.grid;
    context.lineWidth = 1;
    context.beginPath();
    for (let at = GRID_PX; at < size; at += GRID_PX) {
      context.moveTo(at, 0);
      context.lineTo(at, size);
      context.moveTo(0, at);
      context.lineTo(size, at);
    }
    context.stroke();
    const [low, high] = WALL_PX;
    context.strokeStyle = colors.wall;
    context.lineWidth = WALL_WIDTH_PX;
    context.strokeRect(low, low, high - low, high - low);
  }

  /** The T: both boxes as one outline. */
  tee(x, y, angle, fill, edge) {
    const { context } = this;
    context.save();
    context.translate(x, y);
    context.rotate(angle);
    const path = new Path2D();
    for (const [x0, y0, , , x2, y2] of this.boxes) path.rect(x0, y0, x2 - x0, y2 - y0);
    if (edge) {
      context.strokeStyle = edge;
      context.lineWidth = 4;
      context.stroke(path);
    }
    context.fillStyle = fill;
    context.fill(path);
    context.restore();
  }

  disc(x, y, radius, fill) {
    const { context } = this;
    context.fillStyle = fill;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fill();
  }

  path(points, color, width, dot) {
    const { context } = this;
    context.strokeStyle = context.fillStyle = color;
    context.lineWidth = width;
    context.beginPath();
    for (let at = 0; at < points.length; at += 2) context.lineTo(points[at], points[at + 1]);
    context.stroke();
    for (let at = 0; dot && at < points.length; at += 2) this.disc(points[at], points[at + 1], dot, color);
  }

  /** The sample before each pass, from noise to the plan, one after the other. */
  passes(paths, age) {
    const { context, colors } = this;
    const shown = this.isStill ? paths.length : Math.min(paths.length, 1 + Math.floor((age / DENOISING_MS) * paths.length));
    paths.slice(0, shown).forEach((path, index) => {
      const done = (index + 1) / paths.length;
      context.globalAlpha = index === shown - 1 ? 1 : 0.12 + 0.4 * done;
      const color = `color-mix(in srgb, ${colors.plan} ${Math.round(100 * done)}%, ${colors.target})`;
      this.path(path, color, 1 + done, index === shown - 1 ? 2.6 : 0);
    });
    context.globalAlpha = 1;
    context.fillStyle = colors.text;
    context.font = "600 14px system-ui, sans-serif";
    const text = shown === paths.length ? "the plan" : `before pass ${shown} of ${paths.length - 1}`;
    context.fillText(text, 16, 28);
  }

  cross(x, y) {
    const { context, colors } = this;
    context.strokeStyle = colors.target;
    context.lineWidth = 3;
    context.beginPath();
    for (const [dx, dy] of [[9, 0], [0, 9]]) {
      context.moveTo(x - dx, y - dy);
      context.lineTo(x + dx, y + dy);
    }
    context.stroke();
  }
}
