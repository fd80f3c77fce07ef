# The service, for a Postgres of your own (DATABASE_URL). Build: docker build -t countersign .
# Run: the API, pages and sweeps by default; `migrate`, `serve` or `work` as the argument for one of them.

FROM node:26-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
# The optional packages are a Node and a Postgres for machines without: the image has the one and is given the other.
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund

FROM node:26-bookworm-slim
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000
WORKDIR /app
# Owned by root, run as another user, nothing written: a read-only root file system will do.
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json ./
COPY migrations ./migrations
COPY src ./src
USER 1000:1000
EXPOSE 3000
# /livez and not /readyz: orchestrators replace what is unhealthy, which mends a process that hangs but no database
# that is gone. It answers only after the database was found and migrated, so the first "healthy" means ready too.
# `migrate` listens on nothing, `work` on HEALTH_PORT: run them with --no-healthcheck, or with a check of that port.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["node", "-e", \
  "fetch(`http://127.0.0.1:${process.env.PORT}/livez`, { signal: AbortSignal.timeout(3000) }).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# No shell and no init between: Node is process 1, and stops by itself within DRAIN_SECONDS (5) and 9 s of a SIGTERM.
ENTRYPOINT ["node", "src/main.ts"]
CMD ["start"]

ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Countersign" \
  org.opencontainers.image.description="An agent asks, a human co-signs the exact terms, the money moves exactly once." \
  org.opencontainers.image.licenses="MIT" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}"
