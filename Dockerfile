# Built where npm is, run where it is not: the image holds Node and dist/ and nothing that was installed.
FROM node:24-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
COPY scripts scripts
RUN npm ci --no-audit --no-fund
COPY tsconfig.json ./
COPY src src
RUN node scripts/build.mjs

FROM node:24-bookworm-slim
LABEL org.opencontainers.image.title="GenAI Gateway" \
      org.opencontainers.image.description="A bridge from MCP clients to language models" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build --chmod=0555 /build/dist /app
USER 1001:1001
ENV NODE_ENV=production
ENTRYPOINT ["node", "--disable-sigusr1", "--disable-proto=delete", "/app/genai-gateway-mcp.mjs"]
