# The command line in a small image: `docker build -t qdrant-tldr .`, `docker run qdrant-tldr serve --help`.
# In a clone, run `npm ci && npm run build` first. The installed package has everything that the image needs.
FROM node:22-bookworm-slim AS build
WORKDIR /app
# hnswlib-node is compiled while it is installed.
RUN apt-get update && apt-get install -y --no-install-recommends python3 make g++ && rm -rf /var/lib/apt/lists/*
ENV ONNXRUNTIME_NODE_INSTALL=skip
# Only a clone has the lock file: the package's dependencies are chosen by their ranges.
COPY package.json package-lock.jso[n] ./
RUN if [ -f package-lock.json ]; then npm ci --omit=dev --no-audit --no-fund; else npm install --omit=dev --no-audit --no-fund; fi \
  # Of the runtime's libraries only this platform's are needed.
  && find node_modules/onnxruntime-node/bin -mindepth 3 -maxdepth 3 -type d ! -path "*/linux/$(node -p process.arch)" -exec rm -rf {} +

FROM node:22-bookworm-slim
WORKDIR /app
ENV NODE_ENV=production
COPY --from=build /app/node_modules node_modules
COPY package.json ./
COPY dist/src dist/src
COPY dist/adapters dist/adapters
# The image's own user, who may write nothing but what is mounted.
USER node
WORKDIR /work
EXPOSE 6433 6434 6435
ENTRYPOINT ["node", "/app/dist/src/cli/main.js"]
CMD ["--help"]
