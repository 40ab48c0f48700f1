# Built where npm is, run where it is not: the image holds Node, the libraries that it is linked with, and dist/; no shell.
FROM node:24-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
COPY scripts scripts
RUN npm ci --no-audit --no-fund
COPY LICENSE tsconfig.json ./
COPY src src
RUN node scripts/build.mjs

# Only node may run, nothing may be written, and every time is the same, so that the same sources make the same layer.
ARG SOURCE_DATE_EPOCH=0
RUN set -eu; image=/image; node=$(command -v node); \
    mkdir -p $image/app $image/etc; \
    cp -L --parents "$node" $(ldd "$node" | grep -o '/[^ ]*') $image; \
    for notice in /usr/local/LICENSE /usr/share/doc/libc6/copyright /usr/share/doc/libgcc-s1/copyright /usr/share/doc/libstdc++6/copyright; do \
      if [ -e "$notice" ]; then cp -L --parents "$notice" $image; fi; \
    done; \
    cp -r LICENSE dist/. $image/app; rm -r $image/app/types; \
    cp -r $image/app /app; node scripts/code-cache.mjs /app $image/app/code-cache 1001; \
    echo 'gateway:x:1001:1001::/app:/nonexistent' > $image/etc/passwd; \
    echo 'gateway:x:1001:' > $image/etc/group; \
    echo 'hosts: files dns' > $image/etc/nsswitch.conf; \
    chown -R 0:0 $image; chmod -R a=rX $image; chmod a+x $image/usr/local/bin/node; \
    find $image -exec touch --no-dereference --date=@$SOURCE_DATE_EPOCH {} +

FROM scratch
# made by make generate
LABEL org.opencontainers.image.title='GenAI Gateway' \
      org.opencontainers.image.description='Puts language models of several providers behind one set of tools.' \
      org.opencontainers.image.version='0.1.0' \
      org.opencontainers.image.licenses='MIT' \
      org.opencontainers.image.source='https://github.com/OWNER/genai-gateway-mcp' \
      io.modelcontextprotocol.server.name='io.github.OWNER/genai-gateway' \
      io.docker.server.metadata='{"name":"genai-gateway","title":"GenAI Gateway","type":"server","image":"docker.io/owner/genai-gateway-mcp:0.1.0","description":"Puts language models of several providers behind one set of tools.","longLived":true,"secrets":[{"name":"genai-gateway.OPENAI_API_KEY","env":"OPENAI_API_KEY"},{"name":"genai-gateway.ANTHROPIC_API_KEY","env":"ANTHROPIC_API_KEY"},{"name":"genai-gateway.AZURE_OPENAI_API_KEY","env":"AZURE_OPENAI_API_KEY"},{"name":"genai-gateway.GATEWAY_API_KEY","env":"GATEWAY_API_KEY"}],"tools":[{"name":"listModels","description":"Lists the models that can be used, with the provider of each. A provider that is down is named in unavailable."},{"name":"createCompletion","description":"Asks a language model and returns its answer, streamed as progress. Give prompt, or messages for a conversation, tool results or images."},{"name":"createEmbedding","description":"Turns texts into vectors with an embedding model. The numbers are in the structured result only."},{"name":"callTool","description":"Runs a tool of a provider\u0027s own, such as moderation, image generation, web search or token counting. Without tool it lists them."}],"metadata":{"category":"ai","license":"MIT","owner":"OWNER"}}'
# end
COPY --from=build /image /
USER 1001:1001
# Where Ollama, LM Studio and their like are, seen from here.
ENV GATEWAY_LOCAL_HOST=host.docker.internal
# The bundles as Node has parsed them when the image was built.
ENV NODE_COMPILE_CACHE=/app/code-cache
ENTRYPOINT ["/usr/local/bin/node", "--disable-sigusr1", "--disable-proto=delete", "/app/genai-gateway-mcp.mjs"]
