"""Tenants: each call has the database of whose it is."""

from covet_tenants._calls import TenantKey, tenant_by
from covet_tenants._config import TenantsConfig
from covet_tenants._errors import TenantMissingError, TenantUnknownError
from covet_tenants._plugin import TenantsPlugin
from covet_tenants._tenants import TENANT, TENANTS, Tenants

__all__ = [
    "TENANT",
    "TENANTS",
    "TenantKey",
    "TenantMissingError",
    "TenantUnknownError",
    "Tenants",
    "TenantsConfig",
    "TenantsPlugin",
    "tenant_by",
]
