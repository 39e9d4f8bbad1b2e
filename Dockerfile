# The command line in a small image: `docker build -t qdrant-tldr .`, `docker run qdrant-tldr serve --help`.
FROM node:22-bookworm-slim AS build
WORKDIR /app
# hnswlib-node is compiled while it is installed.
RUN apt-get update && apt-get install -y --no-install-recommends python3 make g++ && rm -rf /var/lib/apt/lists/*
ENV ONNXRUNTIME_NODE_INSTALL=skip
COPY package.json package-lock.json .npmrc ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json ./
COPY src src
COPY adapters adapters
COPY test test
COPY bench bench
RUN npx tsc -p . && npm prune --omit=dev --no-audit --no-fund \
  # An optional peer of valibot, for its types alone.
  && rm -rf node_modules/typescript \
  # Of the runtime's libraries only this platform's are needed.
  && find node_modules/onnxruntime-node/bin -mindepth 3 -maxdepth 3 -type d ! -path "*/linux/$(node -p process.arch)" -exec rm -rf {} + \
  && rm -rf dist/test dist/bench

FROM node:22-bookworm-slim
WORKDIR /app
ENV NODE_ENV=production
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
# The image's own user, who may write nothing but what is mounted.
USER node
WORKDIR /work
EXPOSE 6433 6434 6435
ENTRYPOINT ["node", "/app/dist/src/cli/main.js"]
CMD ["--help"]
