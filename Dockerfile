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
    echo 'gateway:x:1001:1001::/app:/nonexistent' > $image/etc/passwd; \
    echo 'gateway:x:1001:' > $image/etc/group; \
    echo 'hosts: files dns' > $image/etc/nsswitch.conf; \
    chmod -R a=rX $image; chmod a+x $image/usr/local/bin/node; \
    find $image -exec touch --no-dereference --date=@$SOURCE_DATE_EPOCH {} +

FROM scratch
COPY --from=build /image /
USER 1001:1001
# Where Ollama, LM Studio and their like are, seen from here.
ENV GATEWAY_LOCAL_HOST=host.docker.internal
ENTRYPOINT ["/usr/local/bin/node", "--disable-sigusr1", "--disable-proto=delete", "/app/genai-gateway-mcp.mjs"]
