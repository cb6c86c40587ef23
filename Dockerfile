# One image for every service; the arguments name the ones to run: `docker run … runify receiver storage`.

FROM node:26-slim AS packages
WORKDIR /app
COPY package.json package-lock.json ./
# Without the devDependencies, and so without the `node` package that is there for systems with an older Node.
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund

# The dashboard's page. What builds it stays here.
FROM node:26-slim AS page
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json ./
COPY scripts/build-dashboard.ts ./scripts/
COPY src/events ./src/events
COPY dashboard ./dashboard
RUN node scripts/build-dashboard.ts

FROM node:26-slim
LABEL org.opencontainers.image.title="Runify" org.opencontainers.image.licenses="MIT"
# For the embedded log and store; a volume that is mounted here gets this owner.
RUN mkdir /data && chown node:node /data
WORKDIR /app
COPY --from=packages /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY scripts/balancer.ts scripts/ready.sh scripts/fill-compile-cache.ts ./scripts/
COPY src ./src
COPY --from=page /app/dashboard/dist ./dashboard/dist
RUN mkdir node_modules/.cache && chown node:node node_modules/.cache
ENV NODE_ENV=production
USER node
# Node reads only what the same user has written.
RUN node scripts/fill-compile-cache.ts
ENV RUNIFY_HOST=0.0.0.0 RUNIFY_DATA_DIR=/data
EXPOSE 8000 8080 8090 8100 8110
# Node itself is process 1 and gets the SIGTERM. The bounds of its heap are those of `npm start`.
ENTRYPOINT ["node", "--import=./src/compile-cache.js", "--v8-pool-size=1", "--max-semi-space-size=4", "--max-old-space-size=96", "src/main.ts"]
CMD ["all"]
