// The instrument of this page, as the server has written it into the page.

const { symbol, name, base, quote, priceDecimals, quantityDecimals, status } = document.body.dataset;

export const market = {
  symbol,
  name,
  base,
  quote,
  priceDecimals: Number(priceDecimals),
  quantityDecimals: Number(quantityDecimals),
  status,
};

export const element = (id) => document.getElementById(id);
