# The service: API, workers, or both, by ROLE. Jobs are mounted at /jobs. Nothing is written but temporary files in /tmp.
FROM node:24.21-trixie-slim AS build
WORKDIR /evenkeel
COPY package.json package-lock.json .npmrc ./
# What the demo, the tests and a start without DATABASE_URL need beyond this are devDependencies.
RUN npm ci --omit=dev

FROM debian:13.2-slim
LABEL org.opencontainers.image.title="evenkeel" \
  org.opencontainers.image.description="Backfills on a live PostgreSQL: every row exactly once, in small batches, while nobody notices" \
  org.opencontainers.image.licenses="MIT"
# Node alone, not its image: no npm in here that could install anything.
COPY --from=build /usr/local/bin/node /usr/local/bin/
WORKDIR /evenkeel
COPY --from=build /evenkeel/node_modules ./node_modules
COPY package.json tsconfig.json ./
COPY src ./src
# A Node that does not start here, for want of a library, ends the build and not the first container.
RUN node --version && mkdir /jobs
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000 JOBS_DIR=/jobs
# By number: Kubernetes cannot tell from a name that it is not root.
USER 1000:1000
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --start-interval=1s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/livez`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# It ends the batches in flight; neither npm nor a shell stands between it and Node.
STOPSIGNAL SIGTERM
CMD ["node", "--import", "tsx", "src/main.ts"]
