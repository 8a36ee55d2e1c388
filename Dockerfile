# The service: API, workers, or both, by ROLE. Jobs are mounted or copied to /jobs.
FROM node:22-slim AS dependencies
WORKDIR /evenkeel
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev

FROM node:22-slim
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000 JOBS_DIR=/jobs
WORKDIR /evenkeel
COPY --from=dependencies /evenkeel/node_modules ./node_modules
COPY package.json tsconfig.json ./
COPY src ./src
RUN mkdir /jobs && chown node /jobs
USER node
EXPOSE 3000
HEALTHCHECK CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/livez`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# Not through npm, which would keep SIGTERM to itself.
CMD ["node", "--import", "tsx", "src/main.ts"]
