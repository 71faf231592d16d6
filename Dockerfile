FROM python:3.11-slim AS build
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --wheel-dir /wheels --require-hashes -r requirements.lock \
    && pip install --no-cache-dir --require-hashes -r requirements-build.lock \
    && pip wheel --no-cache-dir --wheel-dir /wheels --no-deps --no-build-isolation .

FROM python:3.11-slim
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir --no-index /wheels/*.whl \
    && rm -r /wheels
# A number, so that the host can see that it is not root; nobody needs an entry in /etc/passwd.
USER 10001
EXPOSE 50051
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s \
    CMD ["gradient-oracle", "info", "--address", "127.0.0.1:50051", "--timeout", "5"]
ENTRYPOINT ["gradient-oracle"]
CMD ["serve", "--address", "0.0.0.0:50051", "--allow-remote"]
